//! Running a model on a batch of inputs.

mod command;
mod python;

use bytes::Bytes;

pub(crate) use command::CommandRunner;
pub(crate) use python::PythonRunner;

/// Why a batch has no predictions, in the model's words.
#[derive(Clone, Debug)]
pub(crate) struct Failed(pub String);

pub(crate) enum Runner {
    Python(Box<PythonRunner>),
    Command(Box<CommandRunner>),
}

impl Runner {
    /// JSON records, one an input. Dropping the future ends the work.
    pub(crate) async fn run(&mut self, inputs: &[String]) -> Result<Bytes, Failed> {
        let (ran, spawner) = match self {
            Self::Python(python) => (python.run(inputs).await, &python.spawner),
            Self::Command(command) => (command.run(inputs).await, &command.spawner),
        };
        ran.map_err(|Failed(error)| Failed(spawner.explain(error)))
    }
}
