//! Conda's packages: how they are written, and what they are called on PyPI.

use super::{Dependencies, Step};
use crate::Fault;
use crate::folder::Note;
use crate::folder::yaml::{self, Yaml};

/// Packages for conda, as it writes them: `name`, `name=1.2`, `channel::name>=1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conda {
    pub packages: Vec<String>,
    pub channels: Vec<String>,
}

/// Names that differ on PyPI.
const PYPI: [(&str, &str); 21] = [
    ("pytorch", "torch"),
    ("pytorch-cpu", "torch"),
    ("pytorch-gpu", "torch"),
    ("pyg", "torch-geometric"),
    ("pytorch_geometric", "torch-geometric"),
    ("dgl-cuda", "dgl"),
    ("tensorflow-base", "tensorflow"),
    ("tensorflow-gpu", "tensorflow"),
    ("py-xgboost", "xgboost"),
    ("py-xgboost-cpu", "xgboost"),
    ("pytables", "tables"),
    ("matplotlib-base", "matplotlib"),
    ("seaborn-base", "seaborn"),
    ("dask-core", "dask"),
    ("msgpack-python", "msgpack"),
    ("python-graphviz", "graphviz"),
    ("openbabel", "openbabel-wheel"),
    ("opencv", "opencv-python-headless"),
    ("py-opencv", "opencv-python-headless"),
    ("ruamel_yaml", "ruamel.yaml"),
    ("faiss", "faiss-cpu"),
];

/// Not Python: a package of that name on PyPI would be another thing.
const NOT_PYTHON: [&str; 33] = [
    "graphviz",
    "xtb",
    "openssl",
    "ca-certificates",
    "ncurses",
    "readline",
    "sqlite",
    "tk",
    "xz",
    "zlib",
    "zstd",
    "bzip2",
    "mkl",
    "blas",
    "intel-openmp",
    "tbb",
    "icu",
    "jpeg",
    "cmake",
    "make",
    "git",
    "curl",
    "wget",
    "boost",
    "boost-cpp",
    "eigen",
    "cairo",
    "freetype",
    "ld_impl_linux-64",
    "python_abi",
    "cudatoolkit",
    "cudnn",
    "nccl",
];
const NOT_PYTHON_AT_ALL: [&str; 8] =
    ["_", "lib", "cuda-", "gcc", "gxx", "gfortran", "binutils", "sysroot"];

impl Conda {
    /// Of the words after `conda install`.
    pub(super) fn of_arguments(words: &[&str]) -> Self {
        let mut found = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "-c" | "--channel" => found.channels.extend(words.next().map(|&w| w.to_owned())),
                "-n" | "--name" | "-p" | "--prefix" | "--file" | "--solver" => {
                    words.next();
                }
                word => match word.strip_prefix("--channel=") {
                    Some(channel) => found.channels.push(channel.to_owned()),
                    None if word.starts_with('-') => {}
                    None => found.packages.push(word.to_owned()),
                },
            }
        }
        found
    }

    /// Takes the package `python` out: its version.
    pub(super) fn take_python(&mut self) -> Option<String> {
        let at = self.packages.iter().position(|package| split(package).0 == "python")?;
        let package = self.packages.remove(at);
        super::version_numbers(split(&package).1)
    }
}

/// `channel::name >=1` as name and the rest.
fn split(package: &str) -> (&str, &str) {
    let package = package.rsplit("::").next().unwrap_or(package).trim();
    let end = package.find(|c: char| " =<>!~[".contains(c)).unwrap_or(package.len());
    (package[..end].trim(), package[end..].trim())
}

/// What pip calls a conda package, with its version; `None` if it is none of Python's.
pub(crate) fn pip_name(package: &str) -> Option<String> {
    if package.contains('/') || package.ends_with(".whl") {
        return Some(package.to_owned());
    }
    let (name, version) = split(package);
    let lower = name.to_ascii_lowercase();
    let lower = lower.as_str();
    if NOT_PYTHON.contains(&lower) || NOT_PYTHON_AT_ALL.iter().any(|it| lower.starts_with(it)) {
        return None;
    }
    let name = PYPI.iter().find(|(conda, _)| *conda == lower).map_or(name, |(_, pypi)| pypi);
    Some(format!("{name}{}", pip_version(version)))
}

/// `=1.2=build` and `1.2 build` are 1.2 and what begins with it; `>=1` is the same for both.
fn pip_version(version: &str) -> String {
    let version = version.trim_start_matches('[').trim_end_matches(']');
    if version.starts_with(['<', '>', '!', '~']) {
        return version.replace(' ', "");
    }
    let exact = version.starts_with("==");
    let rest = version.trim_start_matches('=').trim();
    let number = rest.split(['=', ' ']).next().unwrap_or_default();
    let number = number.trim_end_matches(".*").trim_end_matches('*');
    if number.is_empty() {
        return String::new();
    }
    if number.contains([',', '|', '<', '>']) {
        let parts: Vec<String> = number.split(',').map(pip_version).collect();
        return parts.join(",");
    }
    // Conda's `=1.2` is any 1.2, and so is `1.2` of three numbers' worth.
    let begins = !exact && number.split('.').count() < 3;
    format!("=={number}{}", if begins { ".*" } else { "" })
}

/// `channels:` and `dependencies:` of an environment file, with pip's own list in it.
pub(super) fn read(name: &str, text: &str) -> Result<Dependencies, Fault> {
    let fault = |what: String| Fault::new(name, what);
    let read = yaml::read(text).map_err(|error| fault(format!("it is not YAML: {error}")))?;
    let texts = |value: Option<&Yaml>| -> Vec<String> {
        let items = value.map(Yaml::items).unwrap_or_default();
        items.iter().filter_map(Yaml::text).map(str::to_owned).collect()
    };
    let packages = texts(read.value.get("dependencies"));
    let mut conda = Conda { packages, channels: texts(read.value.get("channels")) };
    let python = conda.take_python();
    conda.packages.retain(|package| !matches!(split(package).0, "pip" | "setuptools" | "wheel"));
    let lists = read.value.get("dependencies").map(Yaml::items).unwrap_or_default();
    let pip: Vec<String> = lists
        .iter()
        .flat_map(|list| texts(list.get("pip")))
        .flat_map(|line| match line.starts_with('-') {
            true => line.split_whitespace().map(str::to_owned).collect(),
            false => vec![line],
        })
        .collect();
    let mut steps = Vec::new();
    if !conda.packages.is_empty() {
        steps.push(Step::Conda(conda));
    }
    if !pip.is_empty() {
        steps.push(Step::Pip(pip));
    }
    let notes = read.twice.iter().map(|key| Note::twice(name, key)).collect();
    Ok(Dependencies { python, steps, notes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conda_packages_have_names_and_versions_on_pypi() {
        for (conda, pip) in [
            ("toolz=0.12.0", Some("toolz==0.12.0")),
            ("toolz=0.12", Some("toolz==0.12.*")),
            ("toolz==0.12", Some("toolz==0.12")),
            ("conda-forge::rdkit=2022.09.1=py38h_0", Some("rdkit==2022.09.1")),
            ("numpy >=1.20,<2", Some("numpy>=1.20,<2")),
            ("numpy 1.20.3 py38_0", Some("numpy==1.20.3")),
            ("scipy=1.*", Some("scipy==1.*")),
            ("pytorch=1.13", Some("torch==1.13.*")),
            ("PyTables", Some("tables")),
            ("rdkit-pypi", Some("rdkit-pypi")),
            ("libgcc-ng=9.3", None),
            ("_openmp_mutex=5.1=1_gnu", None),
            ("cudatoolkit=11.3", None),
            ("graphviz", None),
            ("./wheels/tiny-1.0-py3-none-any.whl", Some("./wheels/tiny-1.0-py3-none-any.whl")),
        ] {
            assert_eq!(pip_name(conda).as_deref(), pip, "{conda}");
        }
    }

    #[test]
    fn an_environment_file_gives_its_python_and_both_lists() {
        let text = "name: x\nchannels: [conda-forge, defaults]\ndependencies:\n  - python=3.10\n  \
             - pip\n  - toolz=0.12.0\n  - pip:\n    - six==1.16.0\n    - -r more.txt\n";
        let found = read("environment.yml", text).expect("it is read");
        assert_eq!(found.python.as_deref(), Some("3.10"));
        let conda = Conda {
            packages: vec!["toolz=0.12.0".into()],
            channels: vec!["conda-forge".into(), "defaults".into()],
        };
        let pip = Step::Pip(["six==1.16.0", "-r", "more.txt"].map(str::to_owned).to_vec());
        assert_eq!(found.steps, [Step::Conda(conda), pip]);
        assert!(read("environment.yml", "a: [").is_err());
    }
}
