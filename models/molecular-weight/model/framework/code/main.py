import csv
import sys

from rdkit import Chem, RDLogger
from rdkit.Chem import Descriptors

RDLogger.DisableLog("rdApp.*")


def weight(smiles):
    molecule = Chem.MolFromSmiles(smiles)
    return "" if molecule is None else round(Descriptors.MolWt(molecule), 3)


with open(sys.argv[1], newline="") as file:
    rows = list(csv.reader(file))[1:]
with open(sys.argv[2], "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["molecular_weight"])
    writer.writerows([weight(row[0])] for row in rows)
