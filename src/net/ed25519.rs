//! One kind of key for everything: Ed25519, as a file, as the signer of certificates and as the signer of handshakes.
//!
//! What must hold: the secret is wiped when the last copy is dropped, and no `Debug` shows it.

use std::fmt;

use data_encoding::BASE64;
use rustls::pki_types::{SubjectPublicKeyInfoDer, alg_id};
use rustls::{SignatureAlgorithm, SignatureScheme};
use zeroize::Zeroizing;

use crate::model::key::{PublicKey, SecretKey};
use crate::model::time::Entropy;

/// A private key and its public half.
#[derive(Clone)]
pub struct Ed25519Key {
    secret: SecretKey,
    public: PublicKey,
}

impl Ed25519Key {
    /// A new key, drawn from `entropy`.
    #[must_use]
    pub fn make(entropy: &dyn Entropy) -> Self {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        entropy.fill(seed.as_mut());
        Self::of(SecretKey::from_seed(&seed))
    }

    /// The pair of this private key.
    #[must_use]
    pub fn of(secret: SecretKey) -> Self {
        let public = secret.public();
        Self { secret, public }
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The private half, for whoever signs.
    #[must_use]
    pub const fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// PKCS#8 in PEM, as `openssl genpkey -algorithm ed25519` writes it.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let mut der = Zeroizing::new([0; DER_BYTES]);
        let (head, seed) = der.split_at_mut(DER_HEAD.len());
        head.copy_from_slice(&DER_HEAD);
        seed.copy_from_slice(self.secret.seed().as_ref());
        let mut pem = Zeroizing::new(String::with_capacity(PEM_BYTES_MAX));
        pem.push_str(PEM_BEGIN);
        pem.push('\n');
        BASE64.encode_append(der.as_ref(), &mut pem);
        pem.push('\n');
        pem.push_str(PEM_END);
        pem.push('\n');
        pem
    }

    /// Reads what [`Self::to_pem`] wrote; `None` if it is anything else.
    #[must_use]
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(pem).ok()?;
        let body = text.trim().strip_prefix(PEM_BEGIN)?.strip_suffix(PEM_END)?.trim();
        let mut der = Zeroizing::new([0; DER_BYTES]);
        if BASE64.decode_len(body.len()) != Ok(DER_BYTES) {
            return None;
        }
        BASE64.decode_mut(body.as_bytes(), der.as_mut()).ok().filter(|len| *len == DER_BYTES)?;
        let seed = der.strip_prefix(&DER_HEAD)?.try_into().ok()?;
        Some(Self::of(SecretKey::from_seed(seed)))
    }
}

impl fmt::Debug for Ed25519Key {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Ed25519Key(of {:?})", self.public)
    }
}

impl rcgen::PublicKeyData for Ed25519Key {
    fn der_bytes(&self) -> &[u8] {
        &self.public.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for Ed25519Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.secret.sign(message).0.to_vec())
    }
}

impl rustls::sign::SigningKey for Ed25519Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(self.clone()) as _)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(rustls::sign::public_key_to_spki(&alg_id::ED25519, self.public.0))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl rustls::sign::Signer for Ed25519Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(self.secret.sign(message).0.to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

const SEED_BYTES: usize = 32;
/// PKCS#8 version 1 (RFC 8410) up to the seed.
const DER_HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const DER_BYTES: usize = DER_HEAD.len() + SEED_BYTES;
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
/// The base64 fits one line; the buffer must not grow, or it would leave a copy of the key behind.
const PEM_BYTES_MAX: usize = PEM_BEGIN.len() + PEM_END.len() + DER_BYTES / 3 * 4 + 3;
const _: () = assert!(DER_BYTES.is_multiple_of(3) && DER_BYTES / 3 * 4 <= 64);

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);

    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn a_key_comes_back_from_its_file() {
        let key = Ed25519Key::make(&Fixed(3));
        let pem = key.to_pem();
        assert_eq!(pem.len(), PEM_BYTES_MAX);
        assert_eq!(Ed25519Key::from_pem(pem.as_bytes()).unwrap().public(), key.public());
        let windows = pem.replace('\n', "\r\n");
        assert_eq!(Ed25519Key::from_pem(windows.as_bytes()).unwrap().public(), key.public());
    }

    #[test]
    fn the_file_is_standard_pkcs8() {
        // RFC 8410, section 10.3.
        let pem = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                   -----END PRIVATE KEY-----\n";
        let key = Ed25519Key::from_pem(pem.as_bytes()).unwrap();
        assert_eq!(*key.to_pem(), pem);
        assert_eq!(&key.public().0[..4], [0x19, 0xbf, 0x44, 0x09]);
    }

    #[test]
    fn any_cut_or_strange_file_is_no_key_and_no_panic() {
        let pem = Ed25519Key::make(&Fixed(3)).to_pem();
        for len in 0..pem.len() - 1 {
            assert!(Ed25519Key::from_pem(&pem.as_bytes()[..len]).is_none(), "cut at {len}");
        }
        let padded = pem.replacen("MC4C", "MA==", 1);
        let other_algorithm = pem.replacen("MC4CAQAwBQYDK2Vw", "MC4CAQAwBQYDK2Vu", 1);
        for bad in [b"\xff\xfe".to_vec(), padded.into_bytes(), other_algorithm.into_bytes()] {
            assert!(Ed25519Key::from_pem(&bad).is_none());
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = Ed25519Key::make(&Fixed(0xab));
        let shown = format!("{key:?}");
        assert!(!shown.contains("abab") && !shown.contains("171"), "{shown}");
    }
}
