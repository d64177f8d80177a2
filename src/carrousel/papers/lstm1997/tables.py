"""The paper's figures as data, by method and row: the LSTM rows of Tables 1 to 9.

They were read from two conversions of the paper's text, which agree.
"""

from __future__ import annotations

from carrousel.papers.harness.paper_row import Figures

LSTM = {
    "1-1": Figures("Table 1", 264, 30, 30, 39_740),
    "1-2": Figures("Table 1", 276, 30, 30, 21_730),
    "1-3": Figures("Table 1", 276, 30, 29, 14_060),  # 97 %
    "1-4": Figures("Table 1", 264, 30, 29, 9_500),  # 97 %
    "1-5": Figures("Table 1", 276, 30, 30, 8_440, range=(3_800, 24_100)),
    "2a": Figures("Table 2", 10_504, 18, 18, 5_040),
    "2b": Figures("section 5.2", 10_504, 18, 18, 5_680),
    "2c-1": Figures("Table 3", 364, 20, 20, 30_000),
    "2c-2": Figures("Table 3", 664, 20, 20, 31_000),
    "2c-3": Figures("Table 3", 1_264, 20, 20, 33_000),
    "2c-4": Figures("Table 3", 3_064, 20, 20, 38_000),
    "2c-5": Figures("Table 3", 6_064, 20, 20, 49_000),
    "2c-6": Figures("Table 3", 3_064, 20, 20, 49_000),
    "2c-7": Figures("Table 3", 1_264, 20, 20, 75_000),
    "2c-8": Figures("Table 3", 664, 20, 20, 135_000),
    "2c-9": Figures("Table 3", 364, 20, 20, 203_000),
    # fractions of the paper times 2560: 0.000195, 0.000117, 0.000078; 0.00828, 0.01500, 0.01207; 0.00558, 0.00441
    "3a-1": Figures("Table 4", 102, 10, 10, 39_850, first=27_380, wrong=0.5),
    "3a-2": Figures("Table 4", 102, 10, 10, 64_330, first=58_370, wrong=0.3),
    "3a-3": Figures("Table 4", 102, 10, 10, 452_460, first=446_850, wrong=0.2),
    "3b-1": Figures("Table 5", 102, 10, 10, 43_250, first=41_740, wrong=21.2),
    "3b-2": Figures("Table 5", 102, 10, 10, 78_430, first=74_950, wrong=38.4),
    "3b-3": Figures("Table 5", 102, 10, 10, 485_080, first=481_060, wrong=30.9),
    "3c-1": Figures("Table 6", 102, 10, 10, 269_650, wrong=14.3, error=0.014),
    "3c-2": Figures("Table 6", 102, 10, 10, 565_640, wrong=11.3, error=0.012),
    "4-1": Figures("Table 7", 93, 10, 10, 74_000, wrong=1),
    "4-2": Figures("Table 7", 93, 10, 10, 209_000, wrong=0),
    "4-3": Figures("Table 7", 93, 10, 10, 853_000, wrong=1, range=(370_000, 2_020_000)),
    # printed as mean squared errors, which 14 wrong of 2560 cannot give: taken as mean absolute errors
    "5-1": Figures("Table 8", 93, 10, 10, 482_000, wrong=139, error=0.0223),
    "5-2": Figures("Table 8", 93, 10, 10, 1_273_000, wrong=14, error=0.0139),
    "6a": Figures("Table 9", 156, 20, 20, 31_390, wrong=1),
    "6b": Figures("Table 9", 308, 10, 10, 571_100, wrong=2),
}

PAPER: dict[tuple[str, str], Figures] = {("lstm", number): figures for number, figures in LSTM.items()}
