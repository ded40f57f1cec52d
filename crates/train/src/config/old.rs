//! `config.toml` as it was before it had tables: one flat list, of the one task and network that
//! there were then.

use toml::{Table, Value};

/// Only then was the task a name by itself.
pub(super) fn is_old(table: &Table) -> bool {
    table.get("task").is_some_and(Value::is_str)
}

/// The same in tables.
///
/// # Errors
/// If a name is in it that there never was.
pub(super) fn in_tables(mut old: Table) -> Result<Table, String> {
    let take = |old: &mut Table, names: &[&str]| -> Table {
        let entry = |name: &&str| old.remove(*name).map(|value| ((*name).to_owned(), value));
        names.iter().filter_map(entry).collect()
    };
    let with = |mut table: Table, name: &str, value: Option<Value>| {
        if let Some(value) = value {
            table.insert(name.to_owned(), value);
        }
        table
    };
    let text = |text: &str| Some(Value::from(text));

    // Trained for a proof, by Adam, which the file did not say.
    let is_certifiable = old.remove("certifiable").is_some_and(|value| value == true.into());
    let mut task = old.remove("task");
    let mut rule = old.remove("optimizer");
    if is_certifiable {
        task = text("addition-ibp");
        let adam = [("beta1", 0.9), ("beta2", 0.999), ("epsilon", 1e-8)];
        let adam = adam.map(|(name, value)| (name.to_owned(), Value::from(value)));
        rule = Some(with(adam.into_iter().collect(), "name", text("adam")).into());
    }
    let rule = rule.or_else(|| Some(with(Table::new(), "name", text("sgd")).into()));
    let cell = with(Table::new(), "elman", text("sigmoid"));

    let mut tables = Table::new();
    let network = with(take(&mut old, &["hidden", "bias"]), "cell", Some(cell.into()));
    let strategy = old.remove("strategy").or_else(|| text("serial"));
    for (name, table) in [
        ("task", with(take(&mut old, &["bits"]), "name", task)),
        ("network", network),
        ("optimizer", with(take(&mut old, &["learning_rate", "clip", "schedule"]), "rule", rule)),
        ("strategy", with(take(&mut old, &["threads", "push_every"]), "name", strategy)),
        ("run", take(&mut old, &["examples", "batch", "seed"])),
    ] {
        tables.insert(name.to_owned(), table.into());
    }
    match old.keys().next() {
        Some(name) => Err(format!("makes no sense: it holds `{name}`, which is no setting")),
        None => Ok(tables),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{RunConfig, Strategy, StrategyConfig, task_name};
    use crate::optimizer::{Descent, Rule};
    use crate::task::Addition;

    const FIRST: &str = "task = \"addition\"\nbits = 8\nhidden = 16\nexamples = 10000\n\
                         learning_rate = 0.1\nbatch = 1\nseed = 0\n";

    #[test]
    fn a_file_from_before_there_were_strategies_is_the_lab() {
        assert_eq!(RunConfig::from_toml(FIRST), Ok(Addition::lab()));
    }

    #[test]
    fn every_setting_of_before_finds_its_table() {
        let text = format!(
            "{FIRST}bias = true\nstrategy = \"hogwild\"\nthreads = 3\npush_every = 32\n\
             [optimizer]\nname = \"sgd\"\nmomentum = 0.9\nnesterov = false\nweight_decay = 0.0\n"
        );
        let found = RunConfig::<Addition>::from_toml(&text).unwrap();
        let name = Strategy::Hogwild;
        assert_eq!(found.strategy, StrategyConfig { name, threads: 3, push_every: 32 });
        let descent = Descent { momentum: 0.9, nesterov: false, weight_decay: 0.0 };
        assert!(found.network.bias && found.optimizer.rule == Rule::Sgd(descent));
        assert_eq!(RunConfig::from_toml(&found.to_toml()), Ok(found));
    }

    #[test]
    fn a_network_trained_for_a_proof_was_one_by_adam() {
        let text = format!("certifiable = true\n{FIRST}");
        assert_eq!(task_name(&text).unwrap(), "addition-ibp");
        let error = RunConfig::<Addition>::from_toml(&text).unwrap_err();
        assert!(error.contains("addition-ibp"), "{error}");
    }

    #[test]
    fn a_setting_that_never_was_is_named() {
        let error = RunConfig::<Addition>::from_toml(&format!("{FIRST}hiden = 3\n")).unwrap_err();
        assert!(error.contains("`hiden`"), "{error}");
    }
}
