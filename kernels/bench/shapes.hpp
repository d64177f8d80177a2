// The layers that are measured: those of `carrousel bench layers`. A test of the Python package compares the two lists.
#pragma once
#include <cstdint>

namespace carrousel::bench {

struct Shape {
  const char* name;
  int64_t I, H, B, T;
  int layers = 1;
  bool bidirectional = false;
};

inline constexpr Shape shapes[] = {
    {.name = "paper-T100", .I = 4, .H = 8, .B = 1, .T = 100},
    {.name = "paper-T1000", .I = 4, .H = 8, .B = 1, .T = 1000},
    {.name = "audio", .I = 1, .H = 40, .B = 40, .T = 2048},
    {.name = "forecast", .I = 7, .H = 32, .B = 32, .T = 96},
    {.name = "digits", .I = 28, .H = 128, .B = 128, .T = 28, .bidirectional = true},
    {.name = "d2l", .I = 28, .H = 256, .B = 32, .T = 35},
    {.name = "hydrology", .I = 32, .H = 256, .B = 256, .T = 365},
    {.name = "char-rnn", .I = 64, .H = 512, .B = 50, .T = 50, .layers = 2},
    {.name = "PTB-medium", .I = 650, .H = 650, .B = 20, .T = 35, .layers = 2},
    {.name = "PTB-large", .I = 1500, .H = 1500, .B = 20, .T = 35, .layers = 2},
};

}  // namespace carrousel::bench
