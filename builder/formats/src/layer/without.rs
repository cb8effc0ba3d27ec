//! A layer less some of its paths.

use std::collections::{HashMap, HashSet};

use super::{Body, Entry, Layer, path};

impl Layer {
    /// The layer without the paths `removed` and what lies below them. What has other names lives on under the next when
    /// its first goes.
    pub fn without(self, removed: &[Vec<u8>]) -> Self {
        if removed.is_empty() {
            return self;
        }
        let removed: HashSet<&[u8]> = removed.iter().map(Vec::as_slice).collect();
        let is_gone = |mut path: &[u8]| {
            while !removed.contains(path) {
                match path::parent(path) {
                    Some(parent) => path = parent,
                    None => return false,
                }
            }
            true
        };
        let (gone, mut kept): (Vec<Entry>, Vec<Entry>) =
            self.entries.into_iter().partition(|entry| is_gone(&entry.path));
        let bodies: HashMap<&[u8], &Body> = gone.iter().map(|entry| (&entry.path[..], &entry.body)).collect();
        let mut moved: HashMap<&[u8], Vec<u8>> = HashMap::new();
        for entry in &mut kept {
            let Body::Hardlink(target) = &entry.body else {
                continue;
            };
            let Some((first, body)) = bodies.get_key_value(&target[..]) else {
                continue;
            };
            entry.body = match moved.get(first) {
                Some(new) => Body::Hardlink(new.clone()),
                None => {
                    moved.insert(first, entry.path.clone());
                    (*body).clone()
                }
            };
        }
        Self {
            entries: kept,
            blob: self.blob,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use crate::layer::{Attributes, Body, Compression, Inline, LayerBuilder, Packing};

    #[test]
    fn what_loses_its_first_name_keeps_the_others() {
        let packing = Packing {
            compression: Compression::None,
            inline: Inline::Smallest,
            jobs: NonZeroUsize::MIN,
        };
        let mut layer = LayerBuilder::in_memory(packing).unwrap();
        layer
            .symlink(b"gone/link", Attributes::default(), b"target")
            .unwrap();
        layer.fifo(b"gone/pipe", Attributes::default()).unwrap();
        layer.fifo(b"gone.not", Attributes::default()).unwrap();
        for (name, first) in [("a", "link"), ("b", "link"), ("c", "pipe")] {
            let first = format!("gone/{first}");
            layer.hardlink(name.as_bytes(), first.as_bytes()).unwrap();
        }
        let left = layer.finish_layer().unwrap().without(&[b"gone".to_vec()]);
        let bodies: Vec<Body> = left.entries.into_iter().map(|entry| entry.body).collect();
        assert_eq!(
            bodies,
            [
                Body::Symlink(b"target".to_vec()),
                Body::Hardlink(b"a".to_vec()),
                Body::Fifo,
                Body::Fifo
            ]
        );
    }
}
