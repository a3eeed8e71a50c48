//! Tokens of service accounts: JSON web tokens that only this server checks, so one
//! secret signs and verifies them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

/// Who issues tokens, and for whom if nobody says.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// `{"alg":"HS256","typ":"JWT"}`.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// Signs and checks tokens.
pub(crate) struct Issuer(hmac::Key);

impl std::fmt::Debug for Issuer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Issuer")
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) namespace: String,
    pub(crate) account: String,
    pub(crate) uid: String,
    pub(crate) audiences: Vec<String>,
    /// Seconds since the epoch.
    pub(crate) issued: i64,
    pub(crate) expires: i64,
}

impl Issuer {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The token that says `claims`.
    pub(crate) fn sign(&self, claims: &Claims) -> String {
        let payload = json!({
            "iss": ISSUER,
            "sub": format!("system:serviceaccount:{}:{}", claims.namespace, claims.account),
            "aud": claims.audiences,
            "iat": claims.issued, "nbf": claims.issued, "exp": claims.expires,
            "jti": uuid::Uuid::new_v4().to_string(),
            "kubernetes.io": {
                "namespace": claims.namespace,
                "serviceaccount": {"name": claims.account, "uid": claims.uid},
            },
        });
        let payload = URL_SAFE_NO_PAD.encode(payload.to_string());
        let signed = format!("{HEADER}.{payload}");
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// What a token of this issuer says, if it is valid at `now`.
    pub(crate) fn verify(&self, token: &str, now: i64) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        hmac::verify(&self.0, signed.as_bytes(), &signature).ok()?;
        let payload = signed.strip_prefix(HEADER)?.strip_prefix('.')?;
        let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        let text = |pointer: &str| payload.pointer(pointer)?.as_str().map(str::to_owned);
        let audiences = payload.get("aud")?.as_array()?;
        let claims = Claims {
            namespace: text("/kubernetes.io/namespace")?,
            account: text("/kubernetes.io/serviceaccount/name")?,
            uid: text("/kubernetes.io/serviceaccount/uid")?,
            audiences: audiences
                .iter()
                .filter_map(|one| one.as_str().map(str::to_owned))
                .collect(),
            issued: payload.get("iat")?.as_i64()?,
            expires: payload.get("exp")?.as_i64()?,
        };
        (claims.issued <= now && now < claims.expires).then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            namespace: "n".to_owned(),
            account: "a".to_owned(),
            uid: "u".to_owned(),
            audiences: vec![ISSUER.to_owned()],
            issued: 100,
            expires: 200,
        }
    }

    #[test]
    fn tokens_hold_until_they_expire() {
        let issuer = Issuer::new(b"secret");
        let token = issuer.sign(&claims());
        assert_eq!(issuer.verify(&token, 100), Some(claims()));
        assert_eq!(issuer.verify(&token, 99), None);
        assert_eq!(issuer.verify(&token, 200), None);
    }

    #[test]
    fn forgeries_are_refused() {
        let issuer = Issuer::new(b"secret");
        let token = issuer.sign(&claims());
        assert_eq!(Issuer::new(b"other").verify(&token, 150), None);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let payload = signed.split_once('.').unwrap().1;
        for forged in [
            String::new(),
            format!("{none}.{payload}."),
            format!("{none}.{payload}.{signature}"),
            format!("{signed}."),
            format!("{signed}x.{signature}"),
        ] {
            assert_eq!(issuer.verify(&forged, 150), None, "{forged}");
        }
    }
}
