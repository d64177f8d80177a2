// carrousel._kernels.lstm1997: the network of 1997 behind Python. Addresses and sizes come as integers from
// carrousel.online and carrousel.papers, which own and have checked every array. The GIL is released while trials run.
#include "carrousel/lstm1997.hpp"

#include <nanobind/nanobind.h>

#include <memory>
#include <vector>

namespace nb = nanobind;
using namespace nb::literals;
using namespace carrousel::lstm1997;
using Address = uintptr_t;

namespace {

template <class F>
F* at(nb::handle address) {
  return reinterpret_cast<F*>(nb::cast<Address>(address));
}

// I, K, C, S, H, output_gates, recurrent, recurrent_cells, shortcuts, cells_biased, gates_biased, hidden_biased, outputs_biased,
// wide_g, squash_h, logistic_output
Network network(nb::tuple from) {
  const auto number = [&](int k) { return nb::cast<int>(from[k]); };
  const auto flag = [&](int k) { return nb::cast<int>(from[k]) != 0; };
  return {.I = number(0),
          .K = number(1),
          .C = number(2),
          .S = number(3),
          .H = number(4),
          .output_gates = flag(5),
          .recurrent = flag(6),
          .recurrent_cells = flag(7),
          .shortcuts = flag(8),
          .gates_biased = flag(10),
          .cells_biased = flag(9),
          .hidden_biased = flag(11),
          .outputs_biased = flag(12),
          .wide_g = flag(13),
          .squash_h = flag(14),
          .logistic_output = flag(15)};
}

// rate, learn, each_step, entropy
Rule rule(nb::tuple from) {
  return {.rate = nb::cast<double>(from[0]),
          .learn = nb::cast<bool>(from[1]),
          .each_step = nb::cast<bool>(from[2]),
          .entropy = nb::cast<bool>(from[3])};
}

// window, bound, allowed, mean, squared, at_end, every
Stop stop(nb::tuple from) {
  return {.window = nb::cast<int64_t>(from[0]),
          .bound = nb::cast<float>(from[1]),
          .allowed = nb::cast<int64_t>(from[2]),
          .mean = nb::cast<double>(from[3]),
          .squared = nb::cast<bool>(from[4]),
          .at_end = nb::cast<bool>(from[5]),
          .every = nb::cast<int64_t>(from[6])};
}

// count, lengths, x, symbols, targets, classes, at_end, weights, errors, outputs, recent, ring, presented
Trial trial(nb::tuple from) {
  Trial t;
  t.block = {.count = nb::cast<int64_t>(from[0]),
             .lengths = at<const int32_t>(from[1]),
             .x = at<const float>(from[2]),
             .symbols = at<const int32_t>(from[3]),
             .targets = at<const float>(from[4]),
             .classes = at<const int32_t>(from[5]),
             .at_end = nb::cast<bool>(from[6])};
  t.weights = at<float>(from[7]);
  t.errors = at<Errors>(from[8]);
  t.outputs = at<float>(from[9]);
  t.recent = at<Errors>(from[10]);
  t.ring = nb::cast<int64_t>(from[11]);
  t.presented = nb::cast<int64_t>(from[12]);
  return t;
}

nb::list present_trials(nb::tuple n, nb::tuple r, nb::tuple s, nb::list from, int threads) {
  std::vector<Trial> trials;
  for (nb::handle one : from) trials.push_back(trial(nb::cast<nb::tuple>(one)));
  const Network described = network(n);
  const Rule learned = rule(r);
  const Stop until = stop(s);
  {
    nb::gil_scoped_release released;
    present(described, learned, until, trials.data(), int64_t(trials.size()), threads);
  }
  nb::list done;
  for (const Trial& t : trials) done.append(nb::make_tuple(t.presented, t.stopped));
  return done;
}

template <class F>
class OnlineNetwork {
 public:
  explicit OnlineNetwork(nb::tuple n) : online(make_online<F>(network(n))) {}
  void reset() { online->reset(); }
  void load(Address weights) { online->load(reinterpret_cast<const F*>(weights)); }
  void save(Address weights) { online->save(reinterpret_cast<F*>(weights)); }
  int64_t memory_size() { return online->memory_size(); }
  void read_memory(Address to) { online->read_memory(reinterpret_cast<F*>(to)); }
  void write_memory(Address from) { online->write_memory(reinterpret_cast<const F*>(from)); }
  void state(Address s, Address y) { online->state(reinterpret_cast<F*>(s), reinterpret_cast<F*>(y)); }
  void predict(Address x, int symbol, Address y) { online->predict(reinterpret_cast<const F*>(x), symbol, reinterpret_cast<F*>(y)); }
  // steps rows of x [I] or of symbols; of targets [K] or none; of has (0: no target at that step) or none; and of y [K]
  void learn(nb::tuple r, int64_t steps, Address x_at, Address symbols_at, Address targets_at, Address has_at, Address y_at, int I, int K) {
    const Rule learned = rule(r);
    const F* x = reinterpret_cast<const F*>(x_at);
    const int32_t* symbols = reinterpret_cast<const int32_t*>(symbols_at);
    const F* targets = reinterpret_cast<const F*>(targets_at);
    const uint8_t* has = reinterpret_cast<const uint8_t*>(has_at);
    F* y = reinterpret_cast<F*>(y_at);
    nb::gil_scoped_release released;
    for (int64_t t = 0; t < steps; ++t)
      online->learn(learned, x ? x + t * I : nullptr, symbols ? symbols[t] : -1, targets && (!has || has[t]) ? targets + t * K : nullptr,
                    y + t * K);
  }

 private:
  std::unique_ptr<Online<F>> online;
};

template <class F>
void add_online(nb::module_& m, const char* name) {
  using L = OnlineNetwork<F>;
  nb::class_<L>(m, name)
      .def(nb::init<nb::tuple>())
      .def("reset", &L::reset)
      .def("load", &L::load)
      .def("save", &L::save)
      .def("memory_size", &L::memory_size)
      .def("read_memory", &L::read_memory)
      .def("write_memory", &L::write_memory)
      .def("state", &L::state)
      .def("predict", &L::predict)
      .def("learn", &L::learn);
}

}  // namespace

void add_lstm1997(nb::module_& parent) {
  nb::module_ m =
      parent.def_submodule("lstm1997", "The network and the truncated rule of 1997: carrousel.online and carrousel.papers call them.");
  m.def("present", present_trials, "network"_a, "rule"_a, "stop"_a, "trials"_a, "threads"_a);
  add_online<float>(m, "Online32");
  add_online<double>(m, "Online64");
}
