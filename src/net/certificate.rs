//! The certificate a server shows in handshakes, and the authority that signs it.
//!
//! What must hold: the certificate can be swapped while handshakes run; a renewal that fails leaves the old one in
//! use; the authority's certificate is a pure function of its key, so that a lost `ca.pem` comes back the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::ed25519::Ed25519Key;
use super::keys::KeysError;
use super::private_file::{read_private, read_public};
use crate::model::time::{Entropy, WallMs};

/// How long a certificate of ours is good.
pub const VALID: Duration = Duration::from_secs(90 * DAY.as_secs());
/// How often to call [`Certificate::renew`]. It costs microseconds, and an operator's new files are found in a day.
pub const RENEW_EVERY: Duration = DAY;
const _: () = assert!(RENEW_EVERY.as_secs() * 3 <= VALID.as_secs());

/// What else than `localhost`, 127.0.0.1 and ::1 the certificate is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// This machine's name; left out if it is none that a certificate can hold.
    pub host: Option<String>,
    /// This machine's addresses.
    pub addresses: Vec<IpAddr>,
}

/// The certificate in use. Give it to `tls::server_config`; handshakes take what is current.
#[derive(Debug)]
pub struct Certificate {
    source: Source,
    names: Names,
    current: RwLock<Arc<CertifiedKey>>,
}

/// Where certificates come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// We sign them.
    Ours {
        /// The authority's key.
        ca: Box<Ed25519Key>,
    },
    /// The operator put them into the certs directory.
    Operator {
        /// The chain, leaf first.
        chain: PathBuf,
        /// The leaf's key.
        key: PathBuf,
    },
}

impl Certificate {
    pub(super) fn new(source: Source, names: Names, entropy: &dyn Entropy, now: WallMs) -> Result<Self, KeysError> {
        let current = RwLock::new(source.issue(&names, entropy, now)?);
        Ok(Self { source, names, current })
    }

    /// Signs a new certificate, or reads the operator's files again, and shows it from the next handshake on.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`KeysError`] when the operator's files cannot be used; the certificate before stays in use.
    pub fn renew(&self, entropy: &dyn Entropy, now: WallMs) -> Result<(), KeysError> {
        let next = self.source.issue(&self.names, entropy, now)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl Source {
    /// The operator's files, `None` if there are none.
    pub(super) fn operator(dir: &Path) -> Result<Option<Self>, KeysError> {
        let (chain, key) = (dir.join("tls.pem"), dir.join("tls.key"));
        match (chain.exists(), key.exists()) {
            (false, false) => Ok(None),
            (true, true) => Ok(Some(Self::Operator { chain, key })),
            (false, true) => Err(KeysError::Half { missing: chain }),
            (true, false) => Err(KeysError::Half { missing: key }),
        }
    }

    fn issue(&self, names: &Names, entropy: &dyn Entropy, now: WallMs) -> Result<Arc<CertifiedKey>, KeysError> {
        match self {
            Self::Ours { ca } => Ok(Arc::new(sign_leaf(ca, names, entropy, now)?)),
            Self::Operator { chain, key } => read_pair(chain, key).map(Arc::new),
        }
    }
}

/// The authority's certificate as PEM.
pub(super) fn authority_pem(ca: &Ed25519Key) -> Result<String, rcgen::Error> {
    Ok(authority(ca).self_signed(ca)?.pem())
}

/// Whether `pem` is a certificate of the authority with this key; its other contents do not matter.
pub(super) fn is_authority_of(ca: &Ed25519Key, pem: &[u8]) -> bool {
    let Ok(certificate) = CertificateDer::from_pem_slice(pem) else { return false };
    let mut roots = RootCertStore::empty();
    roots.add(certificate).is_ok()
        && roots.roots.iter().all(|root| root.subject_public_key_info.ends_with(&ca.public().0))
}

fn authority(ca: &Ed25519Key) -> CertificateParams {
    let mut params = CertificateParams::default();
    // Two authorities in one trust store must not share a name.
    let mark = data_encoding::HEXLOWER.encode(&Sha256::digest(ca.public().0)[..4]);
    params.distinguished_name.push(DnType::CommonName, format!("rejoin CA {mark}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(9999, 12, 31);
    params
}

fn sign_leaf(ca: &Ed25519Key, names: &Names, entropy: &dyn Entropy, now: WallMs) -> Result<CertifiedKey, rcgen::Error> {
    let key = Ed25519Key::make(entropy);
    // Bounded, because a clock may say anything and dates end with the year 9999.
    let now = Duration::from_millis(now.0).min(CLOCK_MAX);
    let epoch = date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "rejoin server");
    params.subject_alt_names = alt_names(names);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = epoch + now.saturating_sub(CLOCKS_DIFFER_MAX);
    params.not_after = epoch + (now + VALID);
    let leaf = params.signed_by(&key, &Issuer::from_params(&authority(ca), ca))?;
    Ok(CertifiedKey::new(vec![leaf.der().clone()], Arc::new(key)))
}

fn alt_names(names: &Names) -> Vec<SanType> {
    let hosts = ["localhost"].into_iter().chain(names.host.as_deref().filter(|host| *host != "localhost"));
    let hosts = hosts.filter(|host| DnsName::try_from(*host).is_ok());
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let others = names.addresses.iter().copied().filter(|address| !loopback.contains(address));
    hosts
        .filter_map(|host| host.try_into().ok().map(SanType::DnsName))
        .chain(loopback.into_iter().chain(others).map(SanType::IpAddress))
        .collect()
}

/// The operator's chain and key, which must belong together.
fn read_pair(chain: &Path, key: &Path) -> Result<CertifiedKey, KeysError> {
    let (chain_pem, key_pem) = (read_public(chain)?, read_private(key)?);
    let chain_pem = chain_pem.ok_or_else(|| KeysError::Half { missing: chain.to_owned() })?;
    let key_pem = key_pem.ok_or_else(|| KeysError::Half { missing: key.to_owned() })?;
    let bad = |path: &Path, why: String| KeysError::Operator { path: path.to_owned(), why };

    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&chain_pem)
        .collect::<Result<_, _>>()
        .map_err(|error| bad(chain, error.to_string()))?;
    if certificates.is_empty() {
        return Err(bad(chain, "there is no certificate in it".to_owned()));
    }
    let signer = {
        let mut der =
            Zeroizing::new(PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| bad(key, error.to_string()))?);
        let signer = any_supported_type(&der);
        der.zeroize();
        signer.map_err(|error| bad(key, error.to_string()))?
    };
    let pair = CertifiedKey::new(certificates, signer);
    pair.keys_match().map_err(|error| bad(key, format!("it is not the key of {}: {error}", chain.display())))?;
    Ok(pair)
}

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A certificate is good from this long before it was made, for clients whose clocks are behind.
const CLOCKS_DIFFER_MAX: Duration = DAY;
/// The last moment a certificate of ours can begin, in time since 1970: 1 January 9000.
const CLOCK_MAX: Duration = Duration::from_secs(221_845_392_000);

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);

    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    fn leaf(names: &Names, now: WallMs) -> CertifiedKey {
        sign_leaf(&Ed25519Key::make(&Fixed(1)), names, &Fixed(2), now).unwrap()
    }

    #[test]
    fn the_authority_is_a_pure_function_of_its_key() {
        let (one, other) = (Ed25519Key::make(&Fixed(1)), Ed25519Key::make(&Fixed(2)));
        let pem = authority_pem(&one).unwrap();
        assert_eq!(pem, authority_pem(&one).unwrap());
        assert!(is_authority_of(&one, pem.as_bytes()));
        assert!(!is_authority_of(&other, pem.as_bytes()));
        assert!(!is_authority_of(&one, b"nothing"));
    }

    #[test]
    fn any_clock_and_any_host_name_give_a_certificate() {
        for now in [WallMs(0), WallMs(1_790_000_000_000), WallMs(u64::MAX)] {
            for host in ["game.example", "my_host", "mü", "", "a b"] {
                let names = Names { host: Some(host.to_owned()), addresses: vec![] };
                assert!(leaf(&names, now).keys_match().is_ok(), "{now:?} {host:?}");
            }
        }
    }

    #[test]
    fn the_certificate_names_this_machine_once() {
        let lan = IpAddr::from([192, 168, 1, 20]);
        let names = Names {
            host: Some("box.example".to_owned()),
            addresses: vec![lan, Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        };
        let wanted = [
            SanType::DnsName("localhost".try_into().unwrap()),
            SanType::DnsName("box.example".try_into().unwrap()),
            SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
            SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
            SanType::IpAddress(lan),
        ];
        assert_eq!(alt_names(&names), wanted);
        let local = Names { host: Some("localhost".to_owned()), addresses: vec![] };
        assert_eq!(alt_names(&local).len(), 3);
    }

    #[test]
    fn a_renewal_is_shown_at_once_and_is_another_certificate() {
        let source = Source::Ours { ca: Box::new(Ed25519Key::make(&Fixed(1))) };
        let certificate = Certificate::new(source, Names::default(), &Fixed(2), WallMs(0)).unwrap();
        let before = certificate.current();
        certificate.renew(&Fixed(3), WallMs(0)).unwrap();
        assert_ne!(certificate.current().cert, before.cert);
    }
}
