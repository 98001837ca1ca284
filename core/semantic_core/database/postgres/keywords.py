TABLES = ()
class TextVectors:
    def remove(self, connection, pks): pass
    def add(self, connection, rows): pass
    def search(self, connection, text, **kw): return None
    def check(self, connection): pass
    def rebuild(self, connection): pass
