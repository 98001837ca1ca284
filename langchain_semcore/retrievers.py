from dataclasses import asdict
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from langchain_core.runnables.config import run_in_executor
from pydantic import Field

from langchain_semcore.documents import to_explained_document
from langchain_semcore.searcher import MetadataFilter
from langchain_semcore.vectorstores import SemcoreVectorStore
from semantic_core.api import RESULT_KEY, SearchMode


class SemcoreRetriever(BaseRetriever):
    """Retriever over a `SemcoreVectorStore`, hybrid by default.

    Each document tells under `metadata["_semcore"]` how it was found: `match` (vector,
    keyword or both), `status` (READY, PENDING or FAILED), `stale` (by the vector of an older
    text) and `score`. It stands beside the metadata: equality, hashes, JSON and copies as a plain
    dict do not see it, so that what two queries find is one document. The metadata of the run,
    which callbacks and tracers receive, tells under the same key the `coverage` of the collection
    and why the answer is `degraded`.

    Key init args:
        vectorstore: SemcoreVectorStore
            What to search.
        k: int
            How many documents to return at most.
        mode: SearchMode | str
            `"hybrid"`, `"vector"` or `"keyword"`; only the last makes no live call.
        filter: dict | Filter | Callable | None
            Metadata filter, as in the vector store's searches.
        alpha: float
            Weight of meaning against keywords in hybrid mode, from 0 to 1.

    Instantiate:
        ```python
        from langchain_semcore import SemcoreRetriever

        retriever = SemcoreRetriever(vectorstore=vector_store, k=3)
        ```

    Usage:
        ```python
        retriever.invoke("thud")
        ```

        `k`, `filter`, `mode` and `alpha` can be given for one call:

        ```python
        retriever.invoke("thud", k=1, filter={"bar": {"$in": ["baz", "qux"]}})
        ```
    """

    vectorstore: SemcoreVectorStore
    k: int = Field(default=4, ge=0)
    mode: SearchMode = SearchMode.HYBRID
    filter: Any = None
    alpha: float = Field(default=0.5, ge=0.0, le=1.0)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: MetadataFilter = None,
        mode: SearchMode | str | None = None,
        alpha: float | None = None,
    ) -> list[Document]:
        results = self.vectorstore.searcher.by_text(
            query,
            self.k if k is None else k,
            self.filter if filter is None else filter,
            mode=self.mode if mode is None else mode,
            alpha=self.alpha if alpha is None else alpha,
        )
        # LangChain hands one dict of metadata to every callback when the run starts and to no one
        # when it ends; only here is it known what the run rests on.
        run_manager.metadata[RESULT_KEY] = {
            "coverage": asdict(results.coverage),
            "degraded": results.degraded,
        }
        return [to_explained_document(hit) for hit in results]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return await run_in_executor(
            None, self._get_relevant_documents, query, run_manager=run_manager.get_sync(), **kwargs
        )

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = type(self.vectorstore).__name__
        if self.vectorstore.embeddings is not None:
            params["ls_embedding_provider"] = type(self.vectorstore.embeddings).__name__
        return params
