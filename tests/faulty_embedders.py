"""Two correct embedders, and variants with one fault each, with the check that must find it."""

import dataclasses
import itertools
import threading
import time

import numpy as np

from sightsound.plugin import Card, ClassList, Option, Output, Windows, frames

SOUND = Card(
    name="correct.sound",
    modality="sound",
    dim=8,
    input_shape=(400,),
    sample_rate=1000,
    window=400,
    hop=200,
    scores="softmax",
    classes=ClassList("pitch", ("low", "middle", "high")),
    constants={"bands": 8},
)
IMAGE = Card(
    name="correct.image",
    modality="image",
    dim=12,
    input_shape=(2, 2, 3),
    scores="sigmoid",
    classes=ClassList("colours", ("red", "blue")),
)


class CorrectSound:
    """Energies of eight bands of the spectrum; the scores are a softmax of the first three."""

    card = SOUND

    def __init__(self, device="cpu", weights=()):
        pass

    def preprocess(self, media, start, last):
        return Windows(*frames(self.card, media, start, last))

    def embed(self, inputs):
        power = np.abs(np.fft.rfft(inputs, axis=1)[:, :200]).reshape(len(inputs), 8, 25).mean(axis=2)
        rows = np.log(power + 1e-3).astype(np.float32)
        e = np.exp(rows[:, :3] - rows[:, :3].max(axis=1, keepdims=True))
        return Output(rows, e / e.sum(axis=1, keepdims=True))

    def postprocess(self, output):
        return output.embeddings


class CorrectImage(CorrectSound):
    """Means of the four quarters of an image."""

    card = IMAGE

    def preprocess(self, media, start, last):
        h, w = media.shape[:2]
        top, left = slice(0, max(1, h // 2)), slice(0, max(1, w // 2))
        quarters = [media[a, b] for a in (top, slice(h // 2, h)) for b in (left, slice(w // 2, w))]
        means = np.array([q.mean(axis=(0, 1)) for q in quarters], np.float32).reshape(1, 2, 2, 3)
        return Windows(means / np.float32(255))

    def embed(self, inputs):
        return Output(inputs.reshape(-1, 12).copy(), inputs[:, 0, 0, :2].copy())


def changed(output, **fields):
    return dataclasses.replace(output, **fields)


# -- wrong loading -----------------------------------------------------------------------------------------------------


class LoadsAClass:
    """Each of these returns something else than an instance, as a load function may."""

    card = SOUND

    def __new__(cls, device, weights):
        return CorrectSound


class LoadsNothing(LoadsAClass):
    def __new__(cls, device, weights):
        return None


class LoadsAnotherCard(LoadsAClass):
    def __new__(cls, device, weights):
        return CorrectImage()


class LoadsALaterRevision(LoadsAClass):
    card = dataclasses.replace(SOUND, revision=2)

    def __new__(cls, device, weights):
        return CorrectSound()


class LoadRaises(LoadsAClass):
    def __new__(cls, device, weights):
        raise ModuleNotFoundError("No module named 'acme_engine'", name="acme_engine")


class PrepareRaises(CorrectSound):
    def prepare(self):
        raise ValueError("head.bias: expected 521 numbers, got 527")


class WithoutPostprocess(CorrectSound):
    postprocess = None


class BatchOfNothing(CorrectSound):
    batch_size = 0


class WorkersInWords(CorrectSound):
    workers = "two"


class ThreadsInFractions(CorrectSound):
    threads = 1.5


class NoDevice(CorrectSound):
    device = None


class KeepsTheNameOfTheDevice(CorrectSound):
    def __init__(self, device="cpu", weights=()):
        self.device = device


class AlwaysOnTheAccelerator(CorrectSound):
    device = "cuda:0"


# -- wrong rows --------------------------------------------------------------------------------------------------------


class Float64(CorrectSound):
    def postprocess(self, output):
        return output.embeddings.astype(np.float64)


class WrongDim(CorrectSound):
    def postprocess(self, output):
        return output.embeddings[:, :7]


class ListForArray(CorrectSound):
    def postprocess(self, output):
        return output.embeddings.tolist()


class NaN(CorrectSound):
    def postprocess(self, output):
        rows = output.embeddings.copy()
        rows[:, 3] = np.nan
        return rows


class NaNOnSilence(CorrectSound):
    def embed(self, inputs):
        with np.errstate(all="ignore"):
            return super().embed(inputs / np.abs(inputs).max(axis=1, keepdims=True))


class Constant(CorrectSound):
    def embed(self, inputs):
        return super().embed(np.ones_like(inputs))


class Random(CorrectSound):
    def embed(self, inputs):
        return super().embed(inputs + np.random.default_rng().normal(0, 0.1, inputs.shape))


class AnotherAtEachLoad(CorrectSound):
    turns = itertools.count(1)

    def __init__(self, device="cpu", weights=()):
        self.gain = next(self.turns)

    def embed(self, inputs):
        return super().embed(inputs * self.gain)


class BatchNormInTraining(CorrectSound):
    def embed(self, inputs):
        output = super().embed(inputs)
        return changed(output, embeddings=output.embeddings - output.embeddings.mean(axis=0))


class Shuffled(CorrectSound):
    """Returns the rows of a batch over five in another order than the inputs."""

    def embed(self, inputs):
        output = super().embed(inputs)
        order = np.roll(np.arange(len(inputs)), 1) if len(inputs) > 5 else np.arange(len(inputs))
        return Output(output.embeddings[order], output.scores[order])


# -- wrong windows and seconds -----------------------------------------------------------------------------------------


class SpansOutside(CorrectSound):
    def preprocess(self, media, start, last):
        found = super().preprocess(media, start, last)
        return changed(found, spans=np.stack([found.spans[:, 0], found.spans[:, 0] + 0.4], axis=1))


class SpansInSamples(CorrectSound):
    def preprocess(self, media, start, last):
        found = super().preprocess(media, start, last)
        return changed(found, spans=found.spans * self.card.sample_rate)


class SpansUnordered(CorrectSound):
    def preprocess(self, media, start, last):
        found = super().preprocess(media, start, last)
        return changed(found, spans=found.spans[::-1])


class SpansWithoutStart(CorrectSound):
    def preprocess(self, media, start, last):
        return super().preprocess(media, 0, last)


class DropsTheTail(CorrectSound):
    def preprocess(self, media, start, last):
        found = super().preprocess(media, start, last)
        keep = -1 if found.padded and (start or len(found.inputs) > 1) else None
        return Windows(found.inputs[:keep], found.spans[:keep], found.padded and keep is None)


class NeverPadded(CorrectSound):
    def preprocess(self, media, start, last):
        return changed(super().preprocess(media, start, last), padded=False)


class PadsEveryBlock(CorrectSound):
    def preprocess(self, media, start, last):
        return super().preprocess(media if last else np.pad(media, (0, 200)), start, last)


class LevelOfTheBlock(CorrectSound):
    def preprocess(self, media, start, last):
        return super().preprocess(media / max(np.abs(media).max(), np.float32(1e-6)), start, last)


class KeepsTheBlockBefore(CorrectSound):
    """Correct for one recording after the other, wrong if blocks of two recordings alternate."""

    level = 0.0

    def preprocess(self, media, start, last):
        self.level = float(np.abs(media[:400]).max()) if start == 0 else self.level
        return super().preprocess(media / np.float32(self.level + 1e-6), start, last)


# -- other rules of the stages -----------------------------------------------------------------------------------------


class WritesIntoMedia(CorrectSound):
    def preprocess(self, media, start, last):
        media *= np.float32(0.5)
        return super().preprocess(media, start, last)


class WritesIntoInputs(CorrectSound):
    def embed(self, inputs):
        inputs -= inputs.mean(axis=1, keepdims=True)
        return super().embed(inputs)


class WritesIntoEmbeddings(CorrectSound):
    def postprocess(self, output):
        np.maximum(output.embeddings, 0, out=output.embeddings)
        return output.embeddings


class OneBufferForAllThreads(CorrectSound):
    def preprocess(self, media, start, last):
        self.media = media
        time.sleep(0.01)
        return super().preprocess(self.media, start, last)


class OneBufferForAllOutputs(CorrectSound):
    """As a runtime whose outputs are bound to one piece of memory."""

    def __init__(self, device="cpu", weights=()):
        self.memory, self.scores = np.empty((10_000, 8), np.float32), np.empty((10_000, 3), np.float32)

    def embed(self, inputs):
        output, n = super().embed(inputs), len(inputs)
        self.memory[:n], self.scores[:n] = output.embeddings, output.scores
        return Output(self.memory[:n], self.scores[:n])


class OneBufferForAllInputs(CorrectSound):
    def __init__(self, device="cpu", weights=()):
        self.memory = threading.local()

    def preprocess(self, media, start, last):
        found = super().preprocess(media, start, last)
        if not hasattr(self.memory, "inputs"):
            self.memory.inputs = np.empty((10_000, 400), np.float32)
        self.memory.inputs[: len(found.inputs)] = found.inputs
        return changed(found, inputs=self.memory.inputs[: len(found.inputs)])


class OneBufferForAllScores(CorrectSound):
    memory = np.empty((10_000, 3), np.float32)

    def embed(self, inputs):
        output = super().embed(inputs)
        self.memory[: len(inputs)] = output.scores
        return changed(output, scores=self.memory[: len(inputs)])


class OneBufferForAllRows(CorrectSound):
    memory = np.empty((10_000, 8), np.float32)

    def postprocess(self, output):
        self.memory[: len(output.embeddings)] = output.embeddings
        return self.memory[: len(output.embeddings)]


class ThreeBuffersForAllOutputs(CorrectSound):
    """As a runtime that writes to three pieces of memory in turn."""

    memory = np.empty((3, 10_000, 8), np.float32)
    calls = itertools.count()

    def embed(self, inputs):
        rows = self.memory[next(self.calls) % 3][: len(inputs)]
        rows[:] = super().embed(inputs).embeddings
        return changed(super().embed(inputs), embeddings=rows)


class TenBuffersForAllRows(CorrectSound):
    """Too many for the calls in one thread."""

    memory = np.empty((10, 10_000, 8), np.float32)
    calls = itertools.count()

    def postprocess(self, output):
        rows = self.memory[next(self.calls) % 10][: len(output.embeddings)]
        rows[:] = output.embeddings
        return rows


class CrashesOnOneSample(CorrectSound):
    def preprocess(self, media, start, last):
        media[1]
        return super().preprocess(media, start, last)


class CrashesOnOnePixel(CorrectImage):
    def preprocess(self, media, start, last):
        media[1, 1]
        return super().preprocess(media, start, last)


# -- wrong scores and cards --------------------------------------------------------------------------------------------


class Logits(CorrectSound):
    def embed(self, inputs):
        output = super().embed(inputs)
        return changed(output, scores=output.embeddings[:, :3] * 5)


class RaisesInEmbed(CorrectSound):
    def embed(self, inputs):
        raise RuntimeError("no kernel image")


class SoftmaxOverAWrongAxis(CorrectSound):
    def embed(self, inputs):
        output = super().embed(inputs)
        return changed(output, scores=output.scores / 2)


class ABackgroundClass(CorrectSound):
    def embed(self, inputs):
        output = super().embed(inputs)
        return changed(output, scores=np.pad(output.scores, ((0, 0), (1, 0))))


class NoScores(CorrectSound):
    def embed(self, inputs):
        return changed(super().embed(inputs), scores=None)


class ScoresUndeclared(CorrectImage):
    card = dataclasses.replace(IMAGE, scores=None, classes=None)


class LabelsWithLineEnds(CorrectSound):
    card = dataclasses.replace(SOUND, classes=ClassList("pitch", ("low\n", "middle\n", "high")))


class TwoOfOneName(CorrectSound):
    card = dataclasses.replace(SOUND, classes=ClassList("pitch", ("low", "middle", "low")))


class ScoresOfNothing(CorrectSound):
    def embed(self, inputs):
        output = super().embed(inputs)
        return changed(output, scores=np.full_like(output.scores, 1 / 3))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LongerCard(Card):
    paper: str = ""


class CardOfItsOwn(CorrectSound):
    card = LongerCard(**{f.name: getattr(SOUND, f.name) for f in dataclasses.fields(SOUND)}, paper="Acme 2026")


HOP = Option("hop", float, low=0.1, high=0.4, default=0.2, help="seconds from window to window")


class OptionWithoutHelp(CorrectSound):
    card = dataclasses.replace(SOUND, options=(dataclasses.replace(HOP, help=" "),))


class OptionWithoutResolver(CorrectSound):
    card = dataclasses.replace(SOUND, options=(HOP,))


FAULTS = [
    (LoadsAClass, "embedder_loads", "got the class CorrectSound; return an instance"),
    (LoadsNothing, "embedder_loads", "expected an embedder with the registered card, got none"),
    (LoadsAnotherCard, "embedder_loads", "got the card of 'correct.image'"),
    (LoadsALaterRevision, "embedder_loads", "got another revision"),
    (LoadRaises, "embedder_loads", "No module named 'acme_engine'; install it: pip install acme_engine"),
    (PrepareRaises, "embedder_loads", "head.bias: expected 521 numbers, got 527"),
    (WithoutPostprocess, "embedder_loads", "expected the method postprocess, got none"),
    (BatchOfNothing, "execution_is_valid", "batch_size: expected a whole number from 1, got 0"),
    (WorkersInWords, "execution_is_valid", "workers: expected a whole number from 1, got 'two'"),
    (ThreadsInFractions, "execution_is_valid", "threads: expected a whole number from 1, got 1.5"),
    (NoDevice, "execution_is_valid", "device: expected a text, got None"),
    (KeepsTheNameOfTheDevice, "device_is_honoured", "one that says 'cuda:99'; likely `device` is kept as it was given"),
    (AlwaysOnTheAccelerator, "device_is_honoured", "device 'cpu': expected the network there, got 'cuda:0'"),
    (OptionWithoutHelp, "options_resolve", "option 'hop': expected a help text, got none"),
    (OptionWithoutResolver, "options_resolve", "expected a card for correct.sound[hop=0.1], got"),
    (RaisesInEmbed, "shapes_and_dtypes", "embed raised RuntimeError: no kernel image"),
    (Float64, "shapes_and_dtypes", "got float64 (6, 8); convert with .astype(np.float32)"),
    (WrongDim, "shapes_and_dtypes", "expected float32 (6, 8), got (6, 7)"),
    (ListForArray, "shapes_and_dtypes", "expected a NumPy array float32 (6, 8), got list"),
    (NaN, "rows_are_finite", "postprocess of 'noise': expected finite numbers"),
    (NaNOnSilence, "rows_are_finite", "of 'silence': expected finite numbers"),
    (Constant, "different_inputs_differ", "likely the input never reaches the network"),
    (Random, "same_twice", "call .eval()"),
    (AnotherAtEachLoad, "same_after_a_reload", "strict=True"),
    (BatchNormInTraining, "independent_of_the_batch", "batch normalisation in training mode"),
    (Shuffled, "independent_of_the_batch", "of a batch: expected the rows that the whole batch gives"),
    (SpansOutside, "spans_are_ordered_and_inside", "clip the end to the item"),
    (SpansInSamples, "spans_are_ordered_and_inside", "samples for seconds"),
    (SpansUnordered, "spans_are_ordered_and_inside", "in the order of time"),
    (SpansWithoutStart, "blocks_equal_the_whole", "is `start` added?"),
    (DropsTheTail, "windows_as_the_card_says", "likely a tail that is dropped"),
    (NeverPadded, "windows_as_the_card_says", "expected padded=True, got False"),
    (PadsEveryBlock, "blocks_equal_the_whole", "likely every block is padded"),
    (LevelOfTheBlock, "blocks_equal_the_whole", "over the whole block instead of each window"),
    (KeepsTheBlockBefore, "blocks_equal_the_whole", "kept from the block before"),
    (WritesIntoMedia, "inputs_stay_unchanged", "preprocess changed its media"),
    (WritesIntoInputs, "inputs_stay_unchanged", "embed changed its inputs"),
    (WritesIntoEmbeddings, "inputs_stay_unchanged", "postprocess changed its embeddings"),
    (OneBufferForAllOutputs, "results_stay_unchanged", "embed changed the embeddings that it had returned"),
    (OneBufferForAllInputs, "results_stay_unchanged", "preprocess changed the inputs that it had returned"),
    (OneBufferForAllScores, "results_stay_unchanged", "embed changed the scores that it had returned"),
    (ThreeBuffersForAllOutputs, "results_stay_unchanged", "embed changed the embeddings that it had returned"),
    (OneBufferForAllRows, "results_stay_unchanged", "postprocess changed the rows that it had returned"),
    (OneBufferForAllThreads, "safe_in_threads", "likely a buffer or a setting kept in self"),
    (TenBuffersForAllRows, "safe_in_threads", "likely buffers that are used in turn: return copies"),
    (CrashesOnOneSample, "odd_inputs_work", "one sample: preprocess raised IndexError"),
    (CrashesOnOnePixel, "odd_inputs_work", "1 x 1 pixel: preprocess raised IndexError"),
    (Logits, "scores_in_range", "likely logits: apply the softmax"),
    (SoftmaxOverAWrongAxis, "scores_in_range", "a softmax over the wrong axis"),
    (ABackgroundClass, "scores_in_range", "a background class too many"),
    (NoScores, "scores_in_range", "got None; embed has to return Output(rows, scores)"),
    (ScoresUndeclared, "scores_in_range", "declare scores and classes, or drop them"),
    (LabelsWithLineEnds, "labels_name_the_scores", "likely a table read with its line ends"),
    (TwoOfOneName, "labels_name_the_scores", "got 'low' twice; tell the classes apart, or give label_ids"),
    (ScoresOfNothing, "labels_name_the_scores", "expected different ones for different items, got the same"),
    (CardOfItsOwn, "card_survives_json", "unknown fields"),
]

"""An embedder, its check, and words of the message."""
