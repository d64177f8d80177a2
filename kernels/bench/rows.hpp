// What is measured: one row a loop and two a layer, in one column an instruction set and number of threads.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace carrousel::bench {

struct Column {
  const char* instruction_set;
  int threads;
};

// What is measured in one column. `amount` operations, or bytes, each time it runs.
struct Work {
  std::function<void(int64_t times)> run;
  double amount = 0;
  int threads = 1;
  bool bf16 = false;  // its peak is that of products of bfloat16
};

struct Row {
  std::string name;
  bool is_bytes = false;
  std::function<Work(const Column&)> work;  // one that does not run where a column has no such loop
};

// The peak of products of float, or of bfloat16 where the machine multiplies those in one instruction.
Work peak(const Column& column, bool bf16);

std::vector<Row> rows();

}  // namespace carrousel::bench
