"""The keyword index: Tantivy, BM25 over stemmed words."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import tantivy
from tantivy import Filter, Occur, Query

from tools_runtime.retrieval import IndexedFile, Keys
from tools_runtime.retrieval.words import keywords, spaced

_log = logging.getLogger(__name__)

_FORMAT = "1"
"""Of the folder's contents; another one means another analysis of texts, or other fields."""
_TEXT, _CHUNK, _FILE, _VERSION, _KIND = "text", "chunk", "file", "version", "kind"
_IS_FILE = 1
"""The ``kind`` of the one document that each file has beside those of its chunks; it says the version."""
_FEW = 0.02
"""Below this share of the files, a search asks for those only; above, it asks for more and leaves others out."""
_ROUNDS = 2


class TantivyIndex:
    """One index for all vector stores, in a folder that one process uses at a time.

    What was committed survives a kill, as a whole: that includes which version of which file it holds, so that nothing
    beside it need say how far it is. A folder that cannot be opened is emptied.
    """

    def __init__(self, folder: Path, *, memory_bytes: int) -> None:
        self._folder = folder / _FORMAT
        self._memory = memory_bytes
        self._schema = _schema()
        self._analyzer = _analyzer()
        self._open()

    def files(self) -> dict[int, int]:
        """Version by key of the files that are in the index."""
        count = self._searcher.num_docs
        if not count:
            return {}
        found = self._searcher.search(Query.term_query(self._schema, _KIND, _IS_FILE), count, count=False)
        places = [place for _, place in found.hits]
        keys, versions = (self._searcher.fast_field_values(name, places) for name in (_FILE, _VERSION))
        return {int(key): int(version) for key, version in zip(keys, versions, strict=True)}  # type: ignore[arg-type]

    def add(self, file: IndexedFile, texts: Iterable[tuple[int, str]]) -> None:
        """Adds a file's chunks: key and text of each."""
        for key, text in texts:
            document = tantivy.Document()
            document.add_unsigned(_CHUNK, key)
            document.add_unsigned(_FILE, file.key)
            document.add_text(_TEXT, spaced(text))
            self._writer.add_document(document)
        mark = tantivy.Document()
        mark.add_unsigned(_KIND, _IS_FILE)
        mark.add_unsigned(_FILE, file.key)
        mark.add_unsigned(_VERSION, file.version)
        self._writer.add_document(mark)
        self._changed = True

    def remove(self, keys: Collection[int]) -> None:
        """Removes files by key; those that are not in the index are passed over."""
        if keys:
            # Not delete_documents_by_term: that one takes an integer for a signed one, and finds nothing.
            self._writer.delete_documents_by_query(Query.term_set_query(self._schema, _FILE, [*keys]))
            self._changed = True

    def commit(self) -> None:
        """Makes the changes since the last time visible and lasting, all at once."""
        if self._changed:
            self._writer.commit()
            self._changed = False
            self._index.reload()
            self._searcher = self._index.searcher()

    def reopen(self) -> None:
        """Begins anew with what was committed last, after a change that failed."""
        self.close()
        self._open()

    def close(self) -> None:
        """Lets another have the folder. What was not committed is given up."""
        vars(self).pop("_writer", None)  # it is missing where opening failed

    def search(self, query: str, wanted: Keys | None, limit: int) -> list[int]:
        """The ``limit`` chunks that fit the query's words best, best first; of the wanted files, or of all."""
        words = [word for given in keywords(spaced(query)) for word in self._analyzer.analyze(given)]
        terms = Query.boolean_query([(Occur.Should, Query.term_query(self._schema, _TEXT, word)) for word in words])
        searcher = self._searcher
        if wanted is None:
            return self._chunks(searcher, terms, limit)
        share = len(wanted) / max(len(wanted), searcher.doc_freq(_KIND, _IS_FILE))
        if share >= _FEW:
            found = self._sifted(searcher, terms, wanted, limit, share)
            if found is not None:
                return found
        only = Query.const_score_query(Query.term_set_query(self._schema, _FILE, wanted.tolist()), 0.0)
        return self._chunks(searcher, Query.boolean_query([(Occur.Must, terms), (Occur.Must, only)]), limit)

    def _sifted(
        self, searcher: tantivy.Searcher, terms: Query, wanted: Keys, limit: int, share: float
    ) -> list[int] | None:
        """The best of all files, without those that are not wanted. None where these are too many."""
        size = int(limit / share * 1.5) + limit
        for _ in range(_ROUNDS):
            places = [place for _, place in searcher.search(terms, size, count=False).hits]
            files = np.asarray(searcher.fast_field_values(_FILE, places), np.int64)
            inside = np.flatnonzero(np.isin(files, wanted))[:limit]
            if len(inside) == limit or len(places) < size:
                return _integers(searcher.fast_field_values(_CHUNK, [places[place] for place in inside]))
            size *= 4
        return None

    def _chunks(self, searcher: tantivy.Searcher, query: Query, limit: int) -> list[int]:
        places = [place for _, place in searcher.search(query, limit, count=False).hits]
        return _integers(searcher.fast_field_values(_CHUNK, places))

    def _open(self) -> None:
        try:
            self._open_folder()
        except (ValueError, OSError) as error:
            _log.warning("the keyword index is damaged (%s) and is built again", error)
            shutil.rmtree(self._folder)
            self._open_folder()

    def _open_folder(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._index = tantivy.Index(self._schema, str(self._folder))
        self._index.register_tokenizer("words", self._analyzer)
        self._writer = self._index.writer(self._memory, num_threads=1)
        self._searcher = self._index.searcher()
        self._changed = False


def _integers(values: list[int | float | bool | None]) -> list[int]:
    return [int(value) for value in values if value is not None]


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field(_TEXT, tokenizer_name="words", index_option="freq")
    builder.add_unsigned_field(_CHUNK, fast=True)
    builder.add_unsigned_field(_FILE, indexed=True, fast=True)
    builder.add_unsigned_field(_VERSION, fast=True)
    builder.add_unsigned_field(_KIND, indexed=True)
    return builder.build()


def _analyzer() -> tantivy.TextAnalyzer:
    filters = Filter.remove_long(100), Filter.lowercase(), Filter.ascii_fold(), Filter.stemmer("english")
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    for one in filters:
        builder = builder.filter(one)
    return builder.build()
