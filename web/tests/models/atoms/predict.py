"""Counts atoms by their letters. `bad..` is an input that it cannot read."""

MASSES = {"C": 12.011, "N": 14.007, "O": 15.999, "S": 32.06, "F": 18.998}


def describe(text):
    if text.startswith("bad"):
        return {"error": "ring not closed"}
    letters = [letter for letter in text.upper() if letter in MASSES]
    carbons = letters.count("C")
    mass = sum(MASSES[letter] for letter in letters)
    return {"carbons": carbons, "mass": round(mass, 3), "share": carbons / max(1, len(letters))}


def predict(inputs):
    return [describe(text) for text in inputs]
