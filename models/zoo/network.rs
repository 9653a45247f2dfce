//! The networks of the zoo: what each is made from, and what it must reproduce.

use models::onnx::proto::ModelProto;
use sha2::{Digest, Sha256};

use crate::convolution::{NetworkError, Weights};
use crate::weights::read_weights;
use crate::{lite0, resnet18};

/// One network.
pub(crate) struct Network {
    /// Its name, and its file's.
    pub(crate) name: &'static str,
    /// Digest of the weights that it is made from; the pins in `setup/` have it too.
    pub(crate) weights_sha256: &'static str,
    /// What PyTorch made of the same weights.
    pub(crate) reference: &'static str,
    /// What its input must be.
    input: &'static str,
    licence: &'static str,
    build: fn(&Weights) -> Result<ModelProto, NetworkError>,
}

/// All of them, what every station needs first.
pub(crate) const NETWORKS: [Network; 2] = [
    Network {
        name: "efficientnet_lite0",
        weights_sha256: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        reference: include_str!("reference/lite0.json"),
        input: "RGB, (value - 127) / 128, height and width multiples of 16",
        licence: "Apache-2.0",
        build: lite0::network,
    },
    Network {
        name: "resnet18",
        weights_sha256: "459a4fba95b115a55f819acafa00607d6d618fbf283041a15564db8d1077a8ca",
        reference: include_str!("reference/resnet18.json"),
        input: "RGB, value / 255 less (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225), \
                height and width multiples of 8",
        licence: "BSD-3-Clause",
        build: resnet18::network,
    },
];

impl Network {
    /// The network called `name`.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        NETWORKS.iter().find(|network| network.name == name)
    }

    /// The network from the bytes of its weights file, and from no others.
    pub(crate) fn made_from(&self, bytes: &[u8]) -> Result<ModelProto, Box<dyn std::error::Error>> {
        let found: String = Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let expected = self.weights_sha256;
        if found != expected {
            return Err(format!("weights have digest {found}, expected {expected}").into());
        }
        let mut model = (self.build)(&read_weights(bytes)?)?;
        model.set_metadata("selvedge.backbone", self.name);
        model.set_metadata("selvedge.backbone.weights_sha256", expected);
        model.set_metadata("selvedge.backbone.input", self.input);
        model.set_metadata("selvedge.backbone.licence", self.licence);
        Ok(model)
    }
}
