"""Descriptors of molecules by RDKit."""

from rdkit import Chem, RDLogger
from rdkit.Chem import QED, Crippen, Descriptors, rdMolDescriptors

RDLogger.DisableLog("rdApp.*")


def describe(smiles):
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or molecule.GetNumAtoms() == 0:
        return {"error": "this is not a valid SMILES"}
    return {
        "molecular_weight": round(Descriptors.MolWt(molecule), 3),
        "logp": round(Crippen.MolLogP(molecule), 4),
        "tpsa": round(rdMolDescriptors.CalcTPSA(molecule), 2),
        "hbd": rdMolDescriptors.CalcNumHBD(molecule),
        "hba": rdMolDescriptors.CalcNumHBA(molecule),
        "rotatable_bonds": rdMolDescriptors.CalcNumRotatableBonds(molecule),
        "qed": round(QED.qed(molecule), 4),
    }


def predict(inputs):
    return [describe(smiles) for smiles in inputs]
