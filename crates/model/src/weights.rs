//! Weights to and from safetensors bytes, under the names of a PyTorch `RNN` with a
//! `Linear` head: `weight_ih_l0` `[H, I]`, `weight_hh_l0` `[H, H]` (row: to unit) and
//! `head.weight` `[O, H]`, all F32.
//!
//! Reading is safe on hostile bytes: nothing is allocated before the sizes fit the
//! configuration, every tensor must be there with the right shape and type, and
//! every value must be finite.

use crate::{Config, Error, Parameters};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

const W_IN: &str = "weight_ih_l0";
const W_REC: &str = "weight_hh_l0";
const W_OUT: &str = "head.weight";

/// The bytes of a safetensors file that holds `parameters`.
pub fn to_bytes(parameters: &Parameters) -> Vec<u8> {
    let config = parameters.config();
    let (inputs, hidden, outputs) = (config.inputs(), config.hidden(), config.outputs());
    let tensors = [
        (W_IN, vec![hidden, inputs], transposed(parameters.w_in())),
        (W_REC, vec![hidden, hidden], transposed(parameters.w_rec())),
        (W_OUT, vec![outputs, hidden], parameters.w_out().flatten().copied().collect()),
    ];
    let tensors = tensors.map(|(name, shape, values)| (name, shape, little_endian(&values)));
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (*name, view.expect("as many bytes as the shape asks for"))
    });
    safetensors::serialize(views, None).expect("three named tensors make a file")
}

/// The parameters of a network of `config` in the safetensors file `bytes`.
///
/// # Errors
/// If the bytes are no such file, or a tensor is missing, foreign, of another shape
/// or type than `config` asks for, or holds a value that is not finite.
pub fn from_bytes(config: Config, bytes: &[u8]) -> Result<Parameters, Error> {
    let file = SafeTensors::deserialize(bytes)?;
    let (inputs, hidden, outputs) = (config.inputs(), config.hidden(), config.outputs());
    for name in file.names() {
        if ![W_IN, W_REC, W_OUT].contains(&name) {
            return Err(Error::ForeignTensor(name.to_owned()));
        }
    }
    let w_in = read(&file, W_IN, [hidden, inputs])?;
    let w_rec = read(&file, W_REC, [hidden, hidden])?;
    let w_out = read(&file, W_OUT, [outputs, hidden])?;

    let mut parameters = Parameters::zeros(config);
    let mut row = 0;
    parameters.for_each_row_mut(|values| {
        for (unit, value) in values.iter_mut().enumerate() {
            *value = if row < inputs {
                w_in[unit * inputs + row]
            } else if row < inputs + hidden {
                w_rec[unit * hidden + row - inputs]
            } else {
                w_out[(row - inputs - hidden) * hidden + unit]
            };
        }
        row += 1;
    });
    Ok(parameters)
}

/// The values of tensor `name`, which must be finite F32 of `shape`.
fn read(file: &SafeTensors<'_>, name: &'static str, shape: [usize; 2]) -> Result<Vec<f32>, Error> {
    let tensor = file.tensor(name).map_err(|_| Error::MissingTensor {
        expected: name,
        found: file.names().into_iter().map(str::to_owned).collect(),
    })?;
    if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
        return Err(Error::Mismatch {
            name,
            found: format!("{:?} {:?}", tensor.dtype(), tensor.shape()),
            expected: format!("{:?} {shape:?}", Dtype::F32),
        });
    }
    let (values, _) = tensor.data().as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::NotFinite { name, index, value: values[index] }),
        None => Ok(values),
    }
}

/// `[columns, rows]` from `rows` slices of `columns` values each.
fn transposed<'a>(rows: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    let rows: Vec<&[f32]> = rows.collect();
    let columns = rows.first().map_or(0, |row| row.len());
    (0..columns).flat_map(|column| rows.iter().map(move |row| row[column])).collect()
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
