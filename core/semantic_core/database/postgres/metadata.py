from semantic_core.database.sets import among
from semantic_core.database.strategies import Sql, Scope
TABLES = ()
class _Rows:
    chosen = None
    def scopes(self, total, *, by_vector): return Scope(total=total), Scope(total=total)
class JsonMetadata:
    def remove(self, connection, pks): pass
    def add(self, connection, pks): pass
    def condition(self, where):
        parts=[Sql("c.collection_id = ?",(where.collection_id,))]
        if where.ids is not None: parts.append(among("c.chunk_id", where.ids))
        if where.document_ids is not None: parts.append(among("c.document_id", where.document_ids))
        return Sql(" AND ".join(p.sql for p in parts), tuple(v for p in parts for v in p.values))
    def rows(self, connection, where): return _Rows()
    def check(self, connection): return 0
    def rebuild(self, connection): pass
