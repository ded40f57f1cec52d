//! Weights to and from safetensors bytes, under the names and in the order of a PyTorch
//! `state_dict`: those of an `RNN`, `GRU` or `LSTM` (`weight_ih_l0` `[G·H, I]`,
//! `weight_hh_l0` `[G·H, H]`, `bias_ih_l0` and `bias_hh_l0` `[G·H]`, `…_l1`, `…_reverse`)
//! and of a `Linear` named `head` (`head.weight` `[O, D·H]`, `head.bias` `[O]`) and an
//! `Embedding` named `embedding` (`embedding.weight` `[V, I]`), all F32.
//! Only the order changes on the way, so it loses nothing, in both directions.
//!
//! Reading is safe on hostile bytes: nothing is allocated before every tensor is known
//! to be there with the right shape and type and none beside them, and every value must
//! be finite. A file is read whole or not at all.

use crate::{Config, Error, Parameters, Role, Tensor};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::BTreeSet;

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

/// The parameters of a network of `config` in the safetensors file `bytes`. Prefixes of the names
/// are taken off, as [`read`] does, which also tells which.
///
/// # Errors
/// If the bytes are no such file, or a tensor is missing, foreign, of another shape
/// or type than `config` asks for, or holds a value that is not finite.
pub fn from_bytes(config: Config, bytes: &[u8]) -> Result<Parameters, Error> {
    Ok(read(config, bytes)?.parameters)
}

/// What [`read`] found.
#[derive(Clone, Debug)]
pub struct Read {
    /// The parameters.
    pub parameters: Parameters,
    /// What stood before the names, each once, sorted; empty for the names as they are.
    pub prefixes: Vec<String>,
}

/// The parameters of a network of `config` in the safetensors file `bytes`, which a module in a
/// module may have written: then prefixes that end with a dot stand before the names, one and the
/// same before all of the cells' (`lstm.weight_ih_l0`), before the head's (`module.head.weight`)
/// and before the embedding's.
///
/// # Errors
/// As [`from_bytes`].
pub fn read(config: Config, bytes: &[u8]) -> Result<Read, Error> {
    let file = SafeTensors::deserialize(bytes)?;
    let tensors = config.tensors();
    let names = names_in(&file, &tensors)?;
    let views = tensors.iter().zip(&names).map(|(tensor, name)| view(&file, tensor, name));
    let views: Vec<_> = views.collect::<Result<_, _>>()?;

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
    let pairs = names.iter().zip(&tensors);
    let prefixes: BTreeSet<_> =
        pairs.filter_map(|(name, tensor)| name.strip_suffix(tensor.name())).collect();
    let prefixes = prefixes.into_iter().filter(|prefix| !prefix.is_empty()).map(str::to_owned);
    Ok(Read { parameters, prefixes: prefixes.collect() })
}

/// The names of `tensors` in the file, with their prefixes; there are no others in it.
fn names_in(file: &SafeTensors<'_>, tensors: &[Tensor]) -> Result<Vec<String>, Error> {
    let found: BTreeSet<String> = file.names().into_iter().map(str::to_owned).collect();
    let part = |tensor: &Tensor| match tensor.role() {
        Role::Embedding => 0,
        Role::Head | Role::HeadBias => 2,
        _ => 1,
    };
    let mut names = vec![];
    for group in tensors.chunk_by(|one, other| part(one) == part(other)) {
        let with = |prefix: &str| {
            let of_group = group.iter().map(|tensor| format!("{prefix}{}", tensor.name()));
            of_group.collect::<Vec<_>>()
        };
        // those with which all names of the part are there
        let first = group[0].name();
        let prefixes = found.iter().filter_map(|name| name.strip_suffix(first));
        let mut whole = prefixes
            .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
            .filter(|prefix| with(prefix).iter().all(|name| found.contains(name)));
        match (whole.next(), whole.next()) {
            (Some(prefix), None) => names.extend(with(prefix)),
            _ => names.extend(with("")),
        }
    }
    let expected: BTreeSet<String> = names.iter().cloned().collect();
    let missing: Vec<String> = expected.difference(&found).cloned().collect();
    let foreign: Vec<String> = found.difference(&expected).cloned().collect();
    if missing.is_empty() && foreign.is_empty() {
        Ok(names)
    } else {
        Err(Error::Tensors { missing, foreign })
    }
}

/// The view of `tensor`, called `name` in the file; it must be F32 of its shape.
fn view<'a>(file: &SafeTensors<'a>, tensor: &Tensor, name: &str) -> Result<TensorView<'a>, Error> {
    let found = file.tensor(name)?;
    if found.dtype() != Dtype::F32 || found.shape() != tensor.shape() {
        return Err(Error::Mismatch {
            name: name.to_owned(),
            found: format!("{:?} {:?}", found.dtype(), found.shape()),
            expected: format!("{:?} {:?}", Dtype::F32, tensor.shape()),
        });
    }
    Ok(found)
}
