import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from capscope.data import Study
from capscope.embedding import TFIDF
from capscope.errors import InputError
from capscope.fit import EncoderSettings
from capscope.predict import evaluate
from capscope.predict.assessor import Training
from capscope.predict.assessors import ASSESSORS, usable
from capscope.predict.assessors.text_encoder import TextEncoderAssessor, TextHeadAssessor
from capscope.predict.layout import Layout

WORDS = ("add", "divide", "rhyme", "translate", "prove", "sort")
HARD = np.array([-2.0, -0.5, 0.5, 1.0, 2.0, 0.0])


def topic_study(n_items: int = 240, n_models: int = 8, seed: int = 0) -> Study:
    """The first word of a text says how hard it is; one half of the models finds the last topic easy."""
    rng = np.random.default_rng(seed)
    topic = np.arange(n_items) % len(WORDS)
    likes = np.where(np.arange(n_models) % 2 == 0, 3.0, -3.0)[:, None] * (topic == 5)
    chance = expit(np.linspace(-0.5, 1, n_models)[:, None] - HARD[topic] + likes)
    score = (rng.random(chance.shape) < chance).astype(float)
    ids = np.array([f"i{number:03d}" for number in range(n_items)])
    texts = [f"{WORDS[each]} {WORDS[each]} {WORDS[each]} the given words" for each in topic]
    items = pd.DataFrame(
        {"item_id": ids, "benchmark": "B", "task": [f"t{k % 40}" for k in range(n_items)], "text": texts}
    )
    model, item = np.nonzero(score >= 0)
    names = np.array([f"m{number}" for number in range(n_models)])
    return Study.of(items, pd.DataFrame({"model": names[model], "item_id": ids[item], "score": score[model, item]}))


def training_of(study: Study, embedder: str, held_out: int = 60) -> tuple[Training, np.ndarray]:
    """The last items are held out; returns the training part and the true mean scores by (model, item)."""
    layout = Layout.of_study(study, None, embedder)
    responses = layout.responses
    kept = responses.rows(responses.item_index < len(responses.items) - held_out)
    return Training(kept, layout.features, 0), responses.dense().score


@pytest.fixture(scope="module")
def tiny_encoder(tmp_path_factory) -> str:
    """A sentence encoder with random weights and a vocabulary of a few words, saved as a folder."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules as parts
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "given", "words", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), "utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(str(folder / "bert"))
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(vocabulary), **shape)).save_pretrained(str(folder / "bert"))
    words = parts.Transformer(str(folder / "bert"))
    pooling = parts.Pooling(shape["hidden_size"])
    SentenceTransformer(modules=[words, pooling], device="cpu").save(str(folder / "whole"))
    return str(folder / "whole")


def loss(chance: np.ndarray, score: np.ndarray) -> float:
    return float(-(score * np.log(chance) + (1 - score) * np.log(1 - chance)).mean())


def on_new(fitted, score: np.ndarray, held_out: int = 60) -> float:
    n_models, n_items = score.shape
    model, item = (each.ravel() for each in np.mgrid[0:n_models, n_items - held_out : n_items])
    return loss(fitted.predict(model, item).probability, score[model, item])


def test_the_head_learns_what_words_say_of_difficulty_and_of_single_models():
    training, score = training_of(topic_study(), TFIDF)
    head = on_new(TextHeadAssessor().fit(training), score)
    mean = on_new(ASSESSORS["mean"].assessor.fit(training), score)
    rasch = on_new(ASSESSORS["text-rasch"].assessor.fit(training), score)
    assert head < mean - 0.1
    # Rasch difficulties on texts cannot say that models differ by topic
    assert head < rasch - 0.03


@pytest.mark.slow
def test_an_encoder_is_trained_with_its_head_and_is_never_worse_on_what_chose_it(tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    training, score = training_of(topic_study(120), tiny_encoder)
    settings = EncoderSettings(epochs=3, encoder_rate=3e-3, head_rate=3e-2)
    fitted = TextEncoderAssessor(settings).fit(training)
    assert on_new(fitted, score) < on_new(ASSESSORS["mean"].assessor.fit(training), score) - 0.05
    again = TextEncoderAssessor(settings).fit(training)
    np.testing.assert_array_equal(fitted.probability, again.probability)


def test_what_runs_on_request_is_left_out_until_it_is_named():
    study = topic_study(60)
    features = Layout.of_study(study, None, TFIDF).features
    assert not {"text-head", "text-encoder"} & set(usable(features))
    assert "text-head" in set(evaluate(study, "id", ["text-head"], folds=2, embedder=TFIDF).table()["assessor"])


def test_word_weights_cannot_be_fine_tuned():
    training, _ = training_of(topic_study(60), TFIDF, held_out=20)
    with pytest.raises(InputError, match="trains a model and texts are compared by TF-IDF"):
        TextEncoderAssessor().fit(training)
