//! Why a certificate is refused.

/// A certificate does not prove what it should. Each message says what fails, and where.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not JSON of a certificate's form.
    #[error("the certificate is refused: it is not one: {0}")]
    NotACertificate(#[source] serde_json::Error),

    /// The file is in another format.
    #[error("the certificate is refused: its format is {found:?}, not {expected:?}")]
    Format {
        /// The format of the file.
        found: String,
        /// The format that is checked here.
        expected: &'static str,
    },

    /// A certificate of a format holds just what that format has.
    #[error(
        "the certificate is refused: one of the format {format:?} {}",
        if .format.ends_with('3') { "holds neither a cell nor a machine" }
        else { "holds a cell and a machine" }
    )]
    Parts {
        /// The format of the file.
        format: String,
    },

    /// The certificate names another network.
    #[error(
        "the certificate is refused: it is for a network with the digest {named:?}; this network \
         has {found}"
    )]
    OtherNetwork {
        /// The SHA-256 digest that the certificate names.
        named: String,
        /// The SHA-256 digest of the network's file.
        found: String,
    },

    /// So many steps from node to node are not checked.
    #[error("the certificate is refused: it takes {found} steps at a time, not 1 to {most}")]
    Steps {
        /// The steps of the certificate.
        found: usize,
        /// The most that are checked.
        most: usize,
    },

    /// So many sequences of symbols are not checked.
    #[error(
        "the certificate is refused: {steps} steps at a time of {symbols} symbols are more than \
         {most} sequences"
    )]
    Sequences {
        /// The steps of the certificate.
        steps: usize,
        /// The symbols of its machine.
        symbols: usize,
        /// The most sequences that are checked.
        most: usize,
    },

    /// The nodes are not those that the certificate was written with.
    #[error(
        "the certificate is refused: it was changed: its digest (`seal`) is {named:?}, and its \
         nodes have {found}"
    )]
    Changed {
        /// The SHA-256 digest that the certificate names.
        named: String,
        /// The SHA-256 digest of its nodes.
        found: String,
    },

    /// The network's file is not one that a certificate can be about.
    #[error("the certificate is refused: the network {0}")]
    Network(String),

    /// A node is malformed.
    #[error("the certificate is refused: node `{key}` {reason}")]
    Node {
        /// The node.
        key: String,
        /// What is wrong with it, as the rest of a sentence.
        reason: String,
    },

    /// No node holds the first state.
    #[error("the certificate is refused: it has no node `start`")]
    NoStart,

    /// The node `start` may not hold the first state.
    #[error(
        "the certificate is refused: the abstract state of the node `start` is not a box that \
         holds h = 0"
    )]
    Start,

    /// The proof fails at a node.
    #[error("the certificate is refused: from node `{key}`: {reason}")]
    Unproved {
        /// The node.
        key: String,
        /// What does not hold from there.
        reason: String,
    },
}
