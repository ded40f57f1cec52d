//! What programs are told of a training, with `--json`.

use serde_json::{Value, json};
use train::config::RunConfig;
use train::task::Task;

/// An error and what caused it, in one line.
fn with_causes(error: &train::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// An error as JSON: `error`, a sentence, and the numbers of a divergence.
pub fn of_error(error: &train::Error) -> Value {
    let mut object = json!({ "error": with_causes(error) });
    let mut cause = error;
    if let train::Error::Seed { seed, source } = error {
        object["seed"] = (*seed).into();
        cause = source;
    }
    if let train::Error::Diverged { examples, loss, norm, learning_rate, .. } = cause {
        let diverged = json!({
            "examples": examples,
            "loss": loss,
            "gradient_norm": norm,
            "learning_rate": learning_rate,
        });
        object["diverged"] = diverged;
    }
    object
}

/// The task and its values, the network, and the examples, as JSON.
pub fn described<T: Task>(config: &RunConfig<T>) -> Value {
    let mut object = json!({
        "task": T::NAME,
        "cell": config.network.cell,
        "layers": config.network.layers,
        "hidden": config.network.hidden,
        "bias": config.network.bias,
        "examples": config.run.examples,
    });
    extend(&mut object, &config.task.describe());
    object
}

/// Adds the entries of `more`, an object, to `object`.
pub fn extend(object: &mut Value, more: &Value) {
    for (name, value) in more.as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
}
