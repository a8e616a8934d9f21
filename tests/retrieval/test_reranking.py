"""Reranking: another model's order and scores; and a real cross-encoder, tiny and random."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from libraries import OWNER, WordCounts, filled_store, library
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from tools_runtime.protocol.tools import RankingOptions
from tools_runtime.retrieval.cross_encoder import CrossEncoderReranker

QUERY = "The house cat purrs"


class Bakers:
    """A reranker that thinks of bread only, unless it is asked for wings."""

    async def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        return [0.9 if "dough" in text else 0.7 if "wings" in query and "wings" in text else 0.1 for text in texts]


async def found(
    folder: Path, queries: Sequence[str] = (QUERY,), limit: int = 5, **ranking: object
) -> list[tuple[str, float]]:
    async with library(folder, WordCounts(), reranker=Bakers()) as shelf:
        store = await filled_store(shelf)
        options = RankingOptions.model_validate(ranking)
        passages = await shelf.search(OWNER, [store], queries, limit=limit, ranking=options)
        return [(passage.filename, passage.score) for passage in passages]


async def test_the_reranker_has_the_last_word(tmp_path: Path):
    assert (await found(tmp_path))[0] == ("bread.html", 0.9)


async def test_it_reads_more_than_are_returned(tmp_path: Path):
    assert await found(tmp_path, limit=1) == [("bread.html", 0.9)]


async def test_none_turns_it_off(tmp_path: Path):
    assert (await found(tmp_path, ranker="none"))[0][0] == "cats.txt"


async def test_the_threshold_is_of_its_scores(tmp_path: Path):
    assert await found(tmp_path, score_threshold=0.5) == [("bread.html", 0.9)]


async def test_a_passage_counts_by_the_query_that_it_fits_best(tmp_path: Path):
    assert (await found(tmp_path, [QUERY, "wings"]))[:2] == [("bread.html", 0.9), ("planes.md", 0.7)]


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    """A cross-encoder of one layer whose weights are random."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cats", "purr", "planes", "fly"]
    raw = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=32, **special)
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 64}
    config = BertConfig(vocab_size=len(words), num_hidden_layers=1, num_labels=1, **sizes)
    folder = tmp_path / "model"
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


async def test_a_cross_encoder_gives_each_text_a_score(tiny_model: Path):
    reranker = CrossEncoderReranker(str(tiny_model))
    texts = ["cats purr", "planes fly", "cats " * 500]
    scores = await reranker.scores("cats", texts)
    assert len(scores) == 3 and all(0 < score < 1 for score in scores)
    assert await reranker.scores("cats", texts[::-1]) == pytest.approx(scores[::-1], abs=1e-5)
    reranker.close()
