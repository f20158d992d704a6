//! Different molecules as SMILES: rings with two substituents each.

const SUBSTITUENTS: [&str; 12] = [
    "C",
    "CC",
    "C(C)C",
    "OC",
    "N",
    "NC(C)=O",
    "F",
    "Cl",
    "C#N",
    "C(=O)O",
    "S(=O)(=O)N",
    "C(F)(F)F",
];

const RINGS: [&str; 7] = [
    "c1cc(X)ccc1Y",
    "c1cc(X)cnc1Y",
    "C1CN(X)CCC1Y",
    "c1cc2cc(X)ccc2nc1Y",
    "C1CC(X)CCC1Y",
    "c1cc(X)oc1Y",
    "c1cc2c(cc1X)ncn2Y",
];

/// At most 1,008 molecules; no two are the same text.
pub fn molecules(count: usize) -> Vec<String> {
    let mut all = Vec::with_capacity(count);
    for ring in RINGS {
        for first in SUBSTITUENTS {
            for second in SUBSTITUENTS {
                if all.len() == count {
                    return all;
                }
                all.push(ring.replace('X', first).replace('Y', &format!("({second})")));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_molecules_are_a_thousand_texts() {
        let all: std::collections::HashSet<String> = molecules(1000).into_iter().collect();
        assert_eq!(all.len(), 1000);
    }
}
