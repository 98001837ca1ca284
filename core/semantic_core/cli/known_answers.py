from semantic_core.domain.statuses import SearchMode
from semantic_core.facade import SemanticCore

# Question, and the topics of Python's reference that answer it.
KNOWN_ANSWERS = {
    "clean up a file even if an error happens": "try with compound context-managers",
    "make my object callable like a function": "callable-types calls",
    "stop a loop early": "break",
    "skip the rest of this round of the loop": "continue",
    "run some code only when no exception was raised": "try compound",
    "share a variable between two functions": "global nonlocal naming",
    "throw an error from my own code": "raise",
    "give back a value from a function": "return",
    "choose what to do depending on a condition": "if compound",
    "do nothing at all": "pass",
    "check that something is true while testing": "assert",
    "load code from another file": "import",
    "a function without a name": "lambda",
    "cut a piece out of a list": "slicings typesseq",
    "behave like a dictionary": "sequence-types typesmapping",
    "put a value into text with a format": "formatstrings strings",
    "remove a name or an item": "del",
    "look at a variable while the program is stopped": "debugger",
    "is one object greater than another": "comparisons",
    "compute attributes when they are looked up": "attribute-access",
}


def find_answers(core: SemanticCore, mode: SearchMode) -> tuple[int, int]:
    """Return how many questions had their answer as the first hit, and among the first five."""
    first = among_five = 0
    for question, topics in KNOWN_ANSWERS.items():
        right = {f"python/{topic}" for topic in topics.split()}
        hits = [hit.chunk.document_id in right for hit in core.search(question, 5, mode=mode)]
        first += any(hits[:1])
        among_five += any(hits)
    return first, among_five
