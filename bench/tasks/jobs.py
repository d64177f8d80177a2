"""Which task is trained on which file, for how long, and what others have published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.tasks.splits import split_pairs, split_text


@dataclass(frozen=True)
class Job:
    """A task on a data set.

    Args:
        name: for --only, and the heading.
        data: what it is, with a link or a reference.
        train: the words after `carrousel train`; {data} is the folder of the data, {work} that of the files that
            `prepare` writes.
        test: the words after `carrousel eval RUN`; "": what was validated on is what papers report.
        figures: what is shown of the result, by the name that it has there.
        others: who, what they reached, and where that is published.
        prepare: writes files into {work} from those of the data.
    """

    name: str
    data: str
    train: str
    test: str
    figures: tuple[str, ...]
    others: tuple[tuple[str, str, str], ...] = ()
    prepare: Callable[[Path, Path], None] | None = None


EWT = (
    ("most frequent tag of each word", "86.2 %", "our baseline"),
    ("BiLSTM of words and characters", "94.4 to 94.6 %", "bilty, UD 1.3 (Plank et al. 2016)"),
    ("BiLSTM-CNN-CRF", "95.1 %", "published for EWT"),
    ("BERT", "97.2 %", "published for EWT; pre-trained"),
)
ETT = "forecast {data}/ett/ETTh1.csv.gz --rows :11520 --valid-fraction 0.25"
ETT_TEST = "{data}/ett/ETTh1.csv.gz --rows 11520:14400"
JOBS = (
    Job(
        "Japanese Vowels",
        "270 utterances to train on and 370 to test on, nine speakers (Kudo et al. 1999)",
        "classify {data}/japanese_vowels/JapaneseVowels_TRAIN.ts.gz --minutes 0.5",
        "{data}/japanese_vowels/JapaneseVowels_TEST.ts.gz",
        ("accuracy", "macro_f1", "most_frequent_accuracy", "nearest_neighbour_accuracy"),
        (("HMM", "96.2 %", "Kudo et al. 1999"), ("eleven LSTMs, resampled", "98.86 %", "published")),
    ),
    Job(
        "EWT in 3 minutes",
        "Universal Dependencies English Web Treebank, UPOS",
        "tag {data}/ud_ewt/en_ewt-ud-train.conllu.gz --valid {data}/ud_ewt/en_ewt-ud-dev.conllu.gz --minutes 3",
        "{data}/ud_ewt/en_ewt-ud-test.conllu.gz",
        ("accuracy", "unknown_accuracy", "most_frequent_accuracy"),
        EWT,
    ),
    Job(
        "EWT in 15 minutes",
        "the same",
        "tag {data}/ud_ewt/en_ewt-ud-train.conllu.gz --valid {data}/ud_ewt/en_ewt-ud-dev.conllu.gz --minutes 15",
        "{data}/ud_ewt/en_ewt-ud-test.conllu.gz",
        ("accuracy", "unknown_accuracy", "most_frequent_accuracy"),
        EWT,
    ),
    Job(
        "ETTh1, 96 hours ahead",
        "transformer temperatures, seven variables; rows to 8640 train, to 11520 validate, to 14400 test",
        f"{ETT} --horizon 96 --minutes 3",
        ETT_TEST,
        ("mse", "mae"),
        (
            ("DLinear", "MSE .374 to .386, MAE .400", "published, windows 336 and 96 (Zeng et al. 2023)"),
            ("SegRNN", "MSE .368, MAE .395", "published (Lin et al. 2023)"),
        ),
    ),
    Job(
        "ETTh1, 720 hours ahead",
        "the same",
        f"{ETT} --horizon 720 --minutes 3",
        ETT_TEST,
        ("mse", "mae"),
        (("SegRNN", "MSE .446, MAE .457", "published (Lin et al. 2023)"),),
    ),
    Job(
        "AirPassengers, one month ahead",
        "144 months; the last 48 test (Box and Jenkins 1976)",
        "forecast {data}/airpassengers/AirPassengers.csv --log --rows :-48 --horizon 1",
        "{data}/airpassengers/AirPassengers.csv --rows -48:",
        ("rmse(Passengers)", "mase"),
        (
            ("the same month of the year before", "RMSE 41.9", "a baseline"),
            ("LSTMs of tutorials", "RMSE 47 to 57", "as printed there"),
            ("SARIMA", "RMSE 17 to 20", "published"),
        ),
    ),
    Job(
        "Tiny Shakespeare",
        "1,115,394 characters, the last tenth held out",
        "text {data}/tinyshakespeare/input.txt.gz",
        "",
        ("nats_per_char", "perplexity"),
        (
            ("4-gram", "1.796 nats", "counted"),
            ("GPT, 10.65 M weights, on a GPU", "1.47 nats", "nanoGPT"),
            ("torch.nn.LSTM, the same 12 minutes", "1.436 nats", "two cores"),
        ),
    ),
    Job(
        "War and Peace, words",
        "the first eight tenths train, one validates, one tests",
        "words {work}/train.txt --valid {work}/valid.txt",
        "{work}/test.txt",
        ("perplexity", "perplexity_without_eos", "unigram_perplexity", "bigram_perplexity"),
        prepare=split_text,
    ),
    Job(
        "Tatoeba, English to French",
        "167,130 pairs; a twentieth of the English sentences tests",
        "translate {work}/train.tsv",
        "{work}/test.tsv",
        ("chrf", "bleu", "copy_chrf"),
        prepare=split_pairs,
    ),
)
