"""Melting temperature of DNA primers by nearest-neighbour thermodynamics.

Parameters and salt correction: SantaLucia, Proc. Natl. Acad. Sci. USA 95 (1998) 1460, tables 2 and 3.
Tm = dH / (dS + R ln(C / 4)) - 273.15, with dS corrected by 0.368 (N - 1) ln[Na+].
"""

import math

# Pair of bases: enthalpy (kcal/mol), entropy (cal/(mol K)).
PAIRS = {
    "AA": (-7.9, -22.2), "TT": (-7.9, -22.2), "AT": (-7.2, -20.4), "TA": (-7.2, -21.3),
    "CA": (-8.5, -22.7), "TG": (-8.5, -22.7), "GT": (-8.4, -22.4), "AC": (-8.4, -22.4),
    "CT": (-7.8, -21.0), "AG": (-7.8, -21.0), "GA": (-8.2, -22.2), "TC": (-8.2, -22.2),
    "CG": (-10.6, -27.2), "GC": (-9.8, -24.4), "GG": (-8.0, -19.9), "CC": (-8.0, -19.9),
}
ENDS = {"A": (2.3, 4.1), "T": (2.3, 4.1), "G": (0.1, -2.8), "C": (0.1, -2.8)}
GAS = 1.987
SODIUM = 0.05
PRIMER = 0.25e-6


def melting_temperature(sequence):
    enthalpy, entropy = 0.0, 0.0
    for end in (sequence[0], sequence[-1]):
        enthalpy += ENDS[end][0]
        entropy += ENDS[end][1]
    for first, second in zip(sequence, sequence[1:]):
        enthalpy += PAIRS[first + second][0]
        entropy += PAIRS[first + second][1]
    entropy += 0.368 * (len(sequence) - 1) * math.log(SODIUM)
    return 1000 * enthalpy / (entropy + GAS * math.log(PRIMER / 4)) - 273.15


def describe(text):
    sequence = text.strip().upper()
    wrong = sorted(set(sequence) - set("ACGT"))
    if wrong:
        return {"error": "a primer has the letters A, C, G and T, not " + ", ".join(wrong)}
    if not 8 <= len(sequence) <= 60:
        return {"error": "a primer has 8 to 60 bases, this one has %d" % len(sequence)}
    gc = sum(base in "GC" for base in sequence)
    return {
        "melting_temperature": round(melting_temperature(sequence), 2),
        "gc_content": round(100 * gc / len(sequence), 1),
        "length": len(sequence),
    }


def predict(inputs):
    return [describe(text) for text in inputs]
