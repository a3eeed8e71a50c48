//! Tokens of service accounts as kube-apiserver writes them: JSON web tokens (RFC 7519) signed by
//! ES256, which others can check by the public key alone (KEP-1205, KEP-1393).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::PublicKeyData as _;
use ring::{
    digest,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
        UnparsedPublicKey,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ACCOUNT;

/// Who issues tokens, and for whom if nobody says: this server.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// How signatures are made.
pub(crate) const ALGORITHM: &str = "ES256";
/// How long a token lasts that a pod gets by default, in seconds: an hour, and a bit by which it is known.
pub(crate) const BY_DEFAULT: i64 = 3607;
/// How long a token may last at least and at most, in seconds.
const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;
/// Seconds by which clocks may differ, as in Kubernetes.
pub(super) const LEEWAY: i64 = 60;

/// What is wrong with how many seconds a token is to last, in the words of Kubernetes.
pub(crate) fn wrong_life(lasts: i64) -> Option<&'static str> {
    match lasts {
        ..SHORTEST => Some("may not specify a duration less than 10 minutes"),
        SHORTEST..=LONGEST => None,
        _ => Some("may not specify a duration larger than 2^32 seconds"),
    }
}

/// Signs and checks tokens.
pub(crate) struct Issuer {
    key: EcdsaKeyPair,
    /// The name of the key, which is made of its public half.
    id: String,
    random: SystemRandom,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Issuer")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// An object that a token is about.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Reference {
    pub(crate) name: String,
    /// Empty for a node that is not there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
}

/// Whose token it is, and without which objects it is worth nothing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Bound {
    pub(crate) namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Reference>,
    #[serde(rename = "serviceaccount")]
    pub(crate) account: Reference,
    /// When whoever shows it should have had a newer one.
    #[serde(rename = "warnafter", default, skip_serializing_if = "Option::is_none")]
    pub(crate) warn_after: Option<i64>,
}

/// What a token says. Times are seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Claims {
    #[serde(rename = "aud")]
    pub(crate) audiences: Vec<String>,
    #[serde(rename = "exp")]
    pub(crate) expires: i64,
    #[serde(rename = "iat")]
    pub(crate) issued: i64,
    #[serde(rename = "iss")]
    issuer: String,
    #[serde(rename = "jti")]
    pub(crate) id: String,
    #[serde(rename = "kubernetes.io")]
    pub(crate) bound: Bound,
    #[serde(rename = "nbf")]
    not_before: i64,
    #[serde(rename = "sub")]
    subject: String,
}

impl Claims {
    /// What a token says that is issued at `issued` and lasts so many seconds.
    pub(crate) fn new(bound: Bound, audiences: Vec<String>, issued: i64, lasts: i64) -> Self {
        Self {
            audiences,
            expires: issued + lasts,
            issued,
            issuer: ISSUER.to_owned(),
            id: uuid::Uuid::new_v4().to_string(),
            not_before: issued,
            subject: format!("{ACCOUNT}{}:{}", bound.namespace, bound.account.name),
            bound,
        }
    }
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Untrusted {
    #[error("it is no token of this server")]
    Foreign,
    #[error("the signature is not that of this server")]
    Forged,
    #[error("service account token has expired")]
    Expired,
    #[error("service account token is not valid yet")]
    Early,
}

#[derive(Deserialize, Serialize)]
struct Header {
    alg: String,
    kid: String,
}

impl Issuer {
    /// Whoever signs by a private key (PEM) of the curve P-256.
    pub(crate) fn new(pem: &str) -> Result<Self, String> {
        let pair = rcgen::KeyPair::from_pem(pem).map_err(|error| error.to_string())?;
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            pair.serialized_der(),
            &random,
        );
        let public = pair.subject_public_key_info();
        let id = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &public));
        let key = key.map_err(|error| error.to_string())?;
        Ok(Self { key, id, random })
    }

    #[cfg(test)]
    pub(crate) fn random() -> Self {
        Self::new(&rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap()
    }

    /// The token that says `claims`.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, String> {
        let header = Header {
            alg: ALGORITHM.to_owned(),
            kid: self.id.clone(),
        };
        let signed = format!("{}.{}", part(&header)?, part(claims)?);
        let signature = self.key.sign(&self.random, signed.as_bytes());
        let signature = signature.map_err(|_| "there is no randomness".to_owned())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// What a token of this issuer says, if it is valid at `now`.
    pub(crate) fn verify(&self, token: &str, now: i64) -> Result<Claims, Untrusted> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Untrusted::Foreign)?;
        let (header, payload) = signed.split_once('.').ok_or(Untrusted::Foreign)?;
        let header: Header = read(header).ok_or(Untrusted::Foreign)?;
        if header.alg != ALGORITHM || header.kid != self.id {
            return Err(Untrusted::Foreign);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature);
        let signature = signature.map_err(|_| Untrusted::Forged)?;
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.public());
        let genuine = public.verify(signed.as_bytes(), &signature);
        genuine.map_err(|_| Untrusted::Forged)?;
        let claims: Claims = read(payload).ok_or(Untrusted::Foreign)?;
        if claims.issuer != ISSUER {
            Err(Untrusted::Foreign)
        } else if claims.expires + LEEWAY < now {
            Err(Untrusted::Expired)
        } else if now + LEEWAY < claims.not_before {
            Err(Untrusted::Early)
        } else {
            Ok(claims)
        }
    }

    /// The public key as a set of JSON web keys (RFC 7517).
    pub(crate) fn keys(&self) -> Value {
        // An uncompressed point: a byte that says so, and two coordinates of one length.
        let point = self.public().get(1..).unwrap_or_default();
        let (x, y) = point.split_at(point.len() / 2);
        json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": ALGORITHM,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }]})
    }

    fn public(&self) -> &[u8] {
        self.key.public_key().as_ref()
    }
}

fn part<T: Serialize>(value: &T) -> Result<String, String> {
    let text = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    Ok(URL_SAFE_NO_PAD.encode(text))
}

fn read<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        let reference = |name: &str| Reference {
            name: name.to_owned(),
            uid: format!("{name}-uid"),
        };
        let bound = Bound {
            namespace: "n".to_owned(),
            node: None,
            pod: Some(reference("p")),
            secret: None,
            account: reference("a"),
            warn_after: None,
        };
        Claims::new(bound, vec![ISSUER.to_owned()], 1000, 600)
    }

    #[test]
    fn tokens_say_what_those_of_kubernetes_say() {
        let issuer = Issuer::random();
        let token = issuer.sign(&claims()).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let header: Value = read(parts[0]).unwrap();
        assert_eq!(
            header,
            json!({"alg": "ES256", "kid": issuer.keys()["keys"][0]["kid"]})
        );
        let mut payload: Value = read(parts[1]).unwrap();
        payload["jti"].take();
        let expected = json!({
            "iss": ISSUER, "sub": "system:serviceaccount:n:a", "aud": [ISSUER], "jti": null,
            "iat": 1000, "nbf": 1000, "exp": 1600,
            "kubernetes.io": {
                "namespace": "n",
                "pod": {"name": "p", "uid": "p-uid"},
                "serviceaccount": {"name": "a", "uid": "a-uid"},
            },
        });
        assert_eq!(payload, expected);
    }

    #[test]
    fn tokens_hold_until_they_expire() {
        let issuer = Issuer::random();
        let (claims, at) = (claims(), |now| {
            issuer.verify(&issuer.sign(&claims()).unwrap(), now)
        });
        assert_eq!(at(1000).unwrap().bound, claims.bound);
        assert!(at(1600 + LEEWAY).is_ok());
        assert_eq!(at(1601 + LEEWAY), Err(Untrusted::Expired));
        assert_eq!(at(999 - LEEWAY), Err(Untrusted::Early));
    }

    #[test]
    fn forgeries_are_refused() {
        let issuer = Issuer::random();
        let token = issuer.sign(&claims()).unwrap();
        assert_eq!(
            Issuer::random().verify(&token, 1000),
            Err(Untrusted::Foreign)
        );
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, payload) = signed.split_once('.').unwrap();
        let id = &issuer.id;
        let none = URL_SAFE_NO_PAD.encode(json!({"alg": "none", "kid": id}).to_string());
        let mac = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "kid": id}).to_string());
        let other = Issuer::random().sign(&claims()).unwrap();
        let others = other.rsplit_once('.').unwrap().1;
        for forged in [
            String::new(),
            format!("{none}.{payload}."),
            format!("{none}.{payload}.{signature}"),
            format!("{mac}.{payload}.{signature}"),
            format!("{header}.{payload}."),
            format!("{header}.{payload}.{others}"),
            format!("{header}.{payload}x.{signature}"),
            format!("{header}.{payload}.{signature}x"),
        ] {
            assert!(issuer.verify(&forged, 1000).is_err(), "{forged}");
        }
    }

    #[test]
    fn the_public_key_alone_checks_a_token() {
        let issuer = Issuer::random();
        let token = issuer.sign(&claims()).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let keys = issuer.keys();
        let decode = |name: &str| {
            let text = keys["keys"][0][name].as_str().unwrap();
            URL_SAFE_NO_PAD.decode(text).unwrap()
        };
        let point = [&[4], &*decode("x"), &*decode("y")].concat();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(signed.as_bytes(), &signature)
            .unwrap();
    }
}
