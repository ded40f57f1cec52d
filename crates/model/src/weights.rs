//! Weights to and from safetensors bytes, under the names and in the order of a PyTorch
//! `state_dict`: those of an `RNN`, `GRU` or `LSTM` (`weight_ih_l0` `[G·H, I]`,
//! `weight_hh_l0` `[G·H, H]`, `bias_ih_l0` and `bias_hh_l0` `[G·H]`, `…_l1`, `…_reverse`)
//! and of a `Linear` named `head` (`head.weight` `[O, D·H]`, `head.bias` `[O]`), all F32.
//! Only the order changes on the way, so it loses nothing, in both directions.
//!
//! Reading is safe on hostile bytes: nothing is allocated before every tensor is known
//! to be there with the right shape and type and none beside them, and every value must
//! be finite. A file is read whole or not at all.

use crate::{Config, Error, Parameters, Tensor, layout};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// The bytes of a safetensors file that holds `parameters`.
pub fn to_bytes(parameters: &Parameters) -> Vec<u8> {
    let arena = parameters.arena();
    let bytes_of = |tensor: &Tensor| -> Vec<u8> {
        tensor.indices().flat_map(|index| arena[index].to_le_bytes()).collect()
    };
    let tensors = parameters.tensors();
    let bytes: Vec<_> = tensors.iter().map(bytes_of).collect();
    let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
        let view = TensorView::new(Dtype::F32, tensor.shape(), bytes);
        (tensor.name(), view.expect("as many bytes as the shape asks for"))
    });
    safetensors::serialize(views, None).expect("named tensors make a file")
}

/// The parameters of a network of `config` in the safetensors file `bytes`.
///
/// # Errors
/// If the bytes are no such file, or a tensor is missing, foreign, of another shape
/// or type than `config` asks for, or holds a value that is not finite.
pub fn from_bytes(config: Config, bytes: &[u8]) -> Result<Parameters, Error> {
    let file = SafeTensors::deserialize(bytes)?;
    let tensors = layout::tensors(config);
    for name in file.names() {
        if !tensors.iter().any(|tensor| tensor.name() == name) {
            return Err(Error::ForeignTensor(name.to_owned()));
        }
    }
    let views: Vec<_> =
        tensors.iter().map(|tensor| view(&file, tensor)).collect::<Result<_, _>>()?;

    let mut parameters = Parameters::zeros(config);
    let arena = parameters.arena_mut();
    for (tensor, view) in tensors.iter().zip(&views) {
        let (values, _) = view.data().as_chunks::<4>();
        for (index, (place, &bytes)) in tensor.indices().zip(values).enumerate() {
            let value = f32::from_le_bytes(bytes);
            if !value.is_finite() {
                return Err(Error::NotFinite { name: tensor.name().to_owned(), index, value });
            }
            arena[place] = value;
        }
    }
    Ok(parameters)
}

/// The view of `tensor` in the file, which must be F32 of its shape.
fn view<'a>(file: &SafeTensors<'a>, tensor: &Tensor) -> Result<TensorView<'a>, Error> {
    let name = tensor.name();
    let found = file.tensor(name).map_err(|_| Error::MissingTensor {
        expected: name.to_owned(),
        found: file.names().into_iter().map(str::to_owned).collect(),
    })?;
    if found.dtype() != Dtype::F32 || found.shape() != tensor.shape() {
        return Err(Error::Mismatch {
            name: name.to_owned(),
            found: format!("{:?} {:?}", found.dtype(), found.shape()),
            expected: format!("{:?} {:?}", Dtype::F32, tensor.shape()),
        });
    }
    Ok(found)
}
