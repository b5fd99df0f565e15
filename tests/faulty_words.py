"""A correct embedder of images and words, and variants with one fault each, with the check that must find it."""

import dataclasses

import numpy as np

from faulty_embedders import IMAGE, CorrectImage

WORDS = dataclasses.replace(IMAGE, name="correct.words", text=True)


class CorrectWords(CorrectImage):
    """How often each of twelve kinds of bytes stands in a text."""

    card = WORDS

    def text(self, texts):
        counts = [np.bincount(np.frombuffer(text.encode(), np.uint8) % 12, minlength=12) for text in texts]
        return np.array([count / max(1, count.sum()) + 0.01 for count in counts], np.float32)


class NoTextMethod(CorrectImage):
    card = WORDS


class TextUndeclared(CorrectWords):
    card = dataclasses.replace(WORDS, text=False)


class TextOfFloat64(CorrectWords):
    def text(self, texts):
        return super().text(texts).astype(np.float64)


class TextOfAnotherWidth(CorrectWords):
    def text(self, texts):
        return super().text(texts)[:, :7]


class TextOfNothing(CorrectWords):
    def text(self, texts):
        return super().text(texts) * np.array([[1 / len(text)] for text in texts], np.float32)


class NaNForNoWords(CorrectWords):
    def text(self, texts):
        rows = super().text(texts)
        rows[[not text.strip() for text in texts]] = np.nan
        return rows


class AsciiAlone(CorrectWords):
    def text(self, texts):
        return super().text([text.encode("ascii").decode() for text in texts])


class PostprocessNeedsScores(CorrectWords):
    def postprocess(self, output):
        return output.embeddings * (output.scores[:, :1] > -1)


class SortsTheTexts(CorrectWords):
    def text(self, texts):
        rows = super().text(texts)
        texts.sort()
        return rows


class PaddingCounts(CorrectWords):
    """As without an attention mask."""

    def text(self, texts):
        longest = max(map(len, texts))
        return super().text([text.ljust(longest) for text in texts])


class RandomWords(CorrectWords):
    def text(self, texts):
        rows = super().text(texts)
        return (rows + np.random.default_rng().normal(0, 0.1, rows.shape)).astype(np.float32)


class OneBufferForAllTexts(CorrectWords):
    memory = np.empty((100, 12), np.float32)

    def text(self, texts):
        self.memory[: len(texts)] = super().text(texts)
        return self.memory[: len(texts)]


class OneRowForAllTexts(CorrectWords):
    def text(self, texts):
        return super().text(["[CLS]"] * len(texts))


FAULTS = [
    (NoTextMethod, "text_as_the_card_says", "the embedder has no method `text`; add one"),
    (TextUndeclared, "text_as_the_card_says", "set text=True, or drop the method"),
    (TextOfFloat64, "text_gives_rows", "got float64 (4, 12); convert with .astype(np.float32)"),
    (TextOfAnotherWidth, "text_gives_rows", "text(ordinary texts): expected float32 (4, 12), got (4, 7)"),
    (TextOfNothing, "text_gives_rows", "text raised ZeroDivisionError"),
    (NaNForNoWords, "text_gives_rows", "text of an empty text: expected finite numbers"),
    (AsciiAlone, "text_gives_rows", "text raised UnicodeEncodeError"),
    (PostprocessNeedsScores, "text_gives_rows", "postprocess raised TypeError"),
    (SortsTheTexts, "text_gives_rows", "text changed its list of texts"),
    (PaddingCounts, "text_repeats", "no attention mask"),
    (RandomWords, "text_repeats", "the same texts again: expected the rows of the first call"),
    (OneBufferForAllTexts, "text_repeats", "one buffer for several outputs: return a copy"),
    (OneRowForAllTexts, "different_texts_differ", "'a red car' and 'a dog that barks': expected different rows"),
]
"""An embedder, its check, and words of the message."""
