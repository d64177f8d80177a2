"""Folders of WAV files, and the frames that are made of them."""

from __future__ import annotations

import wave

import numpy as np
import pytest
import torch
from data_files import error_of, fuzz

from carrousel.data.log_mel import BANDS, filters, log_mel
from carrousel.data.sounds import AVERAGED, OTHERS, UNLABELLED, read_sounds

soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed: pip install 'carrousel[tasks]'")

RATE = 8000


def tone(frequency, seconds=0.1, rate=RATE):
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def write(path, samples, rate=RATE, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


def test_sub_folders_are_labels(tmp_path):
    write(tmp_path / "up" / "b.wav", tone(400))
    write(tmp_path / "up" / "deeper" / "a.WAV", tone(400, 0.2))
    write(tmp_path / "down" / "a.wav", tone(200))
    write(tmp_path / "stray.wav", tone(200))
    (tmp_path / "README.txt").write_text("sounds")
    found = read_sounds(tmp_path)
    assert found.names == ("down/a.wav", "up/b.wav", "up/deeper/a.WAV")
    assert found.labels == ("down", "up", "up")
    assert found.lengths.tolist() == [11, 11, 21]
    assert found.values.shape == (43, BANDS)
    assert found.values.dtype == np.float32
    assert len(found.channels) == BANDS
    assert found.skipped == {OTHERS: 1, UNLABELLED: 1}


def test_labels_from_names(tmp_path):
    for name in ("7_ann_0.wav", "3_bob_1.wav", "noise.wav"):
        write(tmp_path / name, tone(400))
    found = read_sounds(tmp_path, r"^(\d)_")
    assert found.labels == ("3", "7")
    assert found.skipped == {UNLABELLED: 1}
    assert read_sounds(tmp_path).labels is None


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_each_type_of_sample(tmp_path, subtype):
    write(tmp_path / "a.wav", tone(1000), subtype=subtype)
    frames = log_mel(torch.from_numpy(tone(1000)), RATE).numpy()
    loud = frames > -5
    assert loud.sum() > 20
    np.testing.assert_allclose(read_sounds(tmp_path).values[loud], frames[loud], atol=0.1)


def test_what_the_standard_library_writes(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((tone(1000) * 32768).astype("<i2").tobytes())
    assert read_sounds(tmp_path).lengths.tolist() == [11]


def test_channels_are_averaged_and_this_is_said(tmp_path):
    write(tmp_path / "a.wav", np.stack([tone(400), tone(900)], 1), subtype="FLOAT")
    found = read_sounds(tmp_path)
    expected = log_mel(torch.from_numpy((tone(400) + tone(900)) / 2), RATE)
    np.testing.assert_allclose(found.values, expected.numpy(), atol=1e-4)
    assert found.skipped == {AVERAGED: 1}


def test_one_sample_is_one_frame(tmp_path):
    write(tmp_path / "a.wav", np.zeros(1, np.float32))
    assert read_sounds(tmp_path).lengths.tolist() == [1]


@pytest.mark.parametrize("rate", [8000, 22050])
def test_frames_agree_with_a_loop_in_float64(rate):
    samples = np.random.default_rng(0).standard_normal(rate // 10)
    length, hop = round(0.025 * rate), round(0.01 * rate)
    padded = np.pad(samples, length // 2)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    mels = np.linspace(2595 * np.log10(1 + 20 / 700), 2595 * np.log10(1 + rate / 1400), BANDS + 2)
    points = 700 * (10 ** (mels / 2595) - 1)
    frequencies = np.arange(length // 2 + 1) * rate / length
    expected = []
    for start in range(0, len(samples) + 1, hop):
        piece = padded[start : start + length]
        if len(piece) < length:
            break
        energies = abs(np.fft.rfft(piece * window)) ** 2 / length
        bands = [
            sum(energies * np.interp(frequencies, points[band : band + 3], [0, 1, 0], 0, 0)) for band in range(BANDS)
        ]
        expected.append(np.log(np.array(bands) + 1e-6))
    found = log_mel(torch.from_numpy(samples.astype(np.float32)), rate)
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-3)


def test_a_tone_is_loudest_in_its_band():
    for frequency in (300, 1000, 3000):
        frames = log_mel(torch.from_numpy(tone(frequency)), RATE)
        bands = filters(round(0.025 * RATE), RATE)
        weights = bands[:, round(frequency * 0.025)]
        assert abs(int(frames[5].argmax()) - int(weights.argmax())) <= 1, "its frequency lies between two bands"


def test_mixed_sample_rates_are_refused(tmp_path):
    write(tmp_path / "a.wav", tone(400))
    write(tmp_path / "b.wav", tone(400), 16000)
    message = error_of(read_sounds, tmp_path)
    assert "b.wav has 16,000 samples a second, and" in message
    assert "a.wav has 8,000: resample them to one rate" in message


def test_what_is_wrong_is_described_with_its_file(tmp_path):
    assert "is not there: name a folder of WAV files" in error_of(read_sounds, tmp_path / "nothing")
    assert "has no WAV files" in error_of(read_sounds, tmp_path)
    path = tmp_path / "a.wav"
    path.write_bytes(b"")
    assert "a.wav is damaged or no WAV file" in error_of(read_sounds, tmp_path)
    assert "a.wav is not a directory" in error_of(read_sounds, path)
    write(path, np.zeros(0, np.float32))
    assert "a.wav has no samples: remove it" in error_of(read_sounds, tmp_path)
    write(path, np.array([0, np.nan], np.float32), subtype="FLOAT")
    assert "a.wav has samples that are not finite" in error_of(read_sounds, tmp_path)
    assert "--label-from '(' is not a regular expression" in error_of(read_sounds, tmp_path, "(")
    assert "has 0 groups: put () around the label" in error_of(read_sounds, tmp_path, "a")
    assert "finds a label in none of the names, for example 'a.wav'" in error_of(read_sounds, tmp_path, "(b)")


def test_damaged_files_are_read_or_refused(tmp_path):
    content = write(tmp_path / "a.wav", tone(400, 0.02)).read_bytes()
    header = content[:44]
    path = tmp_path / "a.wav"
    assert fuzz(path, content, lambda: read_sounds(tmp_path), range(200)) > 2
    assert fuzz(path, header, lambda: read_sounds(tmp_path), range(200)) > 100
