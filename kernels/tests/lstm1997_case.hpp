// Networks of 1997 to test, and trials of them: random weights and blocks in arrays with guarded margins.
#pragma once
#include <memory>
#include <vector>

#include "carrousel/lstm1997.hpp"
#include "guarded.hpp"

namespace carrousel::test {

using lstm1997::Network;

struct Described {
  const char* name;
  Network network;
};
// Every option of a network occurs in one of them; some run side by side in lanes, some do not.
const std::vector<Described>& networks_of_1997();

// The form of a block's inputs and targets. Not at_end: three steps in ten have no target.
struct Telling {
  bool symbols = false, at_end = true, classes = false;
};

struct Result {  // of a trial
  std::vector<float> weights, errors, outputs;
  int64_t presented = 0;
  bool stopped = false;
  bool operator==(const Result&) const;  // bit for bit
};

// A trial that depends only on its number. Blocks have no sequence to six, of 1 to 40 steps; symbols may be none (-1).
class TrialOf1997 {
 public:
  TrialOf1997(const Network& network, Telling telling, int number);
  lstm1997::Trial trial();  // from its beginning
  Result result(const lstm1997::Trial& after);

 private:
  int64_t count_;
  std::vector<double> weights_;
  Guarded<float> x_, targets_, weights_now_, errors_, outputs_, recent_;
  Guarded<int32_t> lengths_, symbols_, classes_;
  bool at_end_;
};

// The trials of these numbers, presented together.
std::vector<Result> present_of_1997(const Network& network, Telling telling, const lstm1997::Rule& rule, const lstm1997::Stop& stop,
                                    const std::vector<int>& numbers, int threads);

}  // namespace carrousel::test
