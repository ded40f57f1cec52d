//! What a certificate in a run folder proves, with the picture of it.

use crate::data::{Proof, Set};
use crate::error::Error;
use certify::{Certificate, Machine, picture};
use model::Parameters;
use train::run_folder::RunFolder;

/// The file that `cargo xtask certify` writes.
const FILE: &str = "certificate.json";

/// What the certificate in `folder` proves of the network beside it; none, if there is none. A
/// certificate that `verify` does not accept proves nothing: then why, in a sentence.
///
/// # Errors
/// If a file cannot be read.
pub fn of_run(
    folder: &RunFolder,
    parameters: &Parameters,
) -> Result<Result<Option<Proof>, String>, Error> {
    let Some(json) = folder.file(FILE)? else { return Ok(Ok(None)) };
    let verified = match verify::check(&folder.model_bytes()?, &json) {
        Ok(verified) => verified,
        Err(error) => {
            return Ok(Err(format!(
                "{FILE} proves nothing of this network, and is left out: {error}"
            )));
        }
    };
    let certificate: Certificate = match serde_json::from_slice(&json) {
        Ok(certificate) => certificate,
        Err(error) => return Ok(Err(format!("{FILE} cannot be drawn, and is left out: {error}"))),
    };
    let machine = Machine::addition();
    if !verified.machine.does_as(&machine) {
        return Ok(Err(format!(
            "{FILE} is about the machine {:?}, not about addition, and is left out",
            verified.machine.name()
        )));
    }
    let picture = picture(parameters, &machine, Some(&certificate));
    let place = |point: &[f64; 2]| point.map(|value| value as f32);
    let mut sets = Vec::new();
    for (carry, (pieces, histories)) in (0..).zip(picture.pieces.iter().zip(&picture.histories)) {
        for ([low, high], history) in pieces.iter().zip(histories) {
            sets.push(Set { carry, history: history.clone(), low: place(low), high: place(high) });
        }
    }
    Ok(Ok(Some(Proof {
        statement: verified.statement(),
        origin: None,
        axes: picture.axes,
        states: [0, 1].map(|carry: usize| picture.states[carry].iter().map(place).collect()),
        sets,
        omitted: 0,
        steps: verified.steps,
        margin: verified.margin,
    })))
}
