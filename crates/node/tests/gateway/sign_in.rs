//! People who sign in at an identity provider, with real requests: what a browser would send.

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::Value;

use crate::{
    guarded::{GATEWAY, policy},
    home::{Home, Reply, expect, send, until},
    provider::Provider,
};

const CLIENT: &str = "
apiVersion: v1
kind: Secret
metadata: {namespace: cell, name: client}
stringData: {client-secret: a secret}
";

/// A policy whose provider says where its endpoints are.
const DISCOVERED: &str = "
oidc:
  provider: {issuer: 'https://id.test'}
  clientID: shop
  clientSecret: {name: client}
  scopes: [email]
  forwardAccessToken: true
  refreshToken: false
  denyRedirect: {headers: [{name: x-requested-with, type: Exact, value: XMLHttpRequest}]}";

/// A gateway that trusts the provider and reaches it by its name.
async fn home(number: u8, provider: &Provider) -> Option<Home> {
    let home = Home::start_with(number, |settings| {
        settings.authorities = Some(provider.authority.as_str().into());
        let name = ("id.test".to_owned(), 443);
        settings.reach.instead.insert(name, provider.address);
    })
    .await?;
    home.apply(GATEWAY).await;
    home.apply(CLIENT).await;
    home.backend("one").await;
    Some(home)
}

/// What a browser keeps.
#[derive(Debug, Clone, Default)]
struct Browser(BTreeMap<String, String>);

impl Browser {
    /// Keeps the cookies of an answer, and forgets those that it takes away.
    fn keep(&mut self, reply: &Reply) {
        for cookie in reply.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (pair, attributes) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if value == "deleted" {
                self.0.remove(name);
            } else {
                assert!(attributes.contains("HttpOnly"), "{cookie}");
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// A request with what is kept.
    fn request(&self, url: &str) -> String {
        let pairs: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if pairs.is_empty() {
            return format!("GET {url}");
        }
        format!("GET {url}\ncookie: {}", pairs.join("; "))
    }

    async fn get(&mut self, gateway: SocketAddr, url: &str) -> Reply {
        let reply = send(gateway, &self.request(url)).await.unwrap();
        self.keep(&reply);
        reply
    }

    /// With another value of the cookie whose name begins so.
    fn forged(&self, name: &str, value: &str) -> Self {
        let mut forged = self.clone();
        let cookie = forged.0.iter_mut().find(|(key, _)| key.starts_with(name));
        value.clone_into(cookie.unwrap().1);
        forged
    }
}

/// A part of the query of where an answer leads, as it is written.
fn part<'r>(reply: &'r Reply, name: &str) -> &'r str {
    let (_, query) = reply.header("location").split_once('?').unwrap();
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).unwrap().1
}

/// Goes to a page, to the provider and back.
async fn signed_in(gateway: SocketAddr, page: &str) -> Browser {
    let mut browser = Browser::default();
    let sent = until(gateway, &format!("GET {page}"), |reply| reply.status == 302).await;
    browser.keep(&sent);
    let to = sent.header("location");
    assert!(to.starts_with("https://id.test/authorize?"), "{to}");
    assert_eq!(part(&sent, "client_id"), "shop");
    assert_eq!(part(&sent, "response_type"), "code");
    assert!(part(&sent, "scope").contains("openid"), "{to}");
    assert_eq!(part(&sent, "code_challenge_method"), "S256");
    assert_eq!(
        part(&sent, "redirect_uri"),
        "http%3A%2F%2Fa.test%2Foauth2%2Fcallback"
    );
    let back = format!(
        "http://a.test/oauth2/callback?code=good&state={}",
        part(&sent, "state")
    );
    let reply = browser.get(gateway, &back).await;
    assert_eq!(reply.status, 302, "{reply:?}");
    assert_eq!(reply.header("location"), page);
    browser
}

async fn refuses_forgeries(gateway: SocketAddr, browser: &Browser) {
    // Cookies that the gateway did not give: another token, another end, another seal.
    for (name, value) in [
        ("AccessToken", "stolen"),
        ("OauthExpires", "4102444800"),
        ("OauthHMAC", "AAAA"),
    ] {
        let forged = browser.forged(name, value);
        let reply = send(gateway, &forged.request("http://a.test/page"))
            .await
            .unwrap();
        assert_eq!(reply.status, 302, "{name}: {reply:?}");
        assert!(
            reply
                .header("location")
                .starts_with("https://id.test/authorize?")
        );
    }
    // They are good for this policy's routes on this host only.
    let reply = send(gateway, &browser.request("http://b.test/page"))
        .await
        .unwrap();
    assert_eq!(reply.status, 302, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_and_out() {
    let provider = Provider::start(3600).await;
    let Some(home) = home(41, &provider).await else {
        return;
    };
    let gateway = home.at(1, 8080);
    expect(gateway, "GET http://a.test/", 200).await;

    // Nothing is open while the provider does not say where its endpoints are; others are served.
    home.apply(&policy("SecurityPolicy", "people", DISCOVERED))
        .await;
    expect(gateway, "GET http://a.test/", 500).await;
    let kind = ("gateway.envoyproxy.io/v1alpha1", "SecurityPolicy");
    let condition = |status: &Value| status["ancestors"][0]["conditions"][0].clone();
    let refused = |status: &Value| {
        let message = condition(status)["message"].to_string();
        message.contains("issuer https://id.test does not say") && message.contains("503")
    };
    home.status(kind, ("cell", "people"), refused).await;
    provider.open();

    let mut browser = signed_in(gateway, "http://a.test/page?x=1").await;
    let good = |status: &Value| condition(status)["status"] == "True";
    home.status(kind, ("cell", "people"), good).await;
    let asked = provider.asked();
    assert!(asked[0].contains("code_verifier="), "{asked:?}");
    let reply = browser.get(gateway, "http://a.test/page").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(
        reply.body.contains("authorization: Bearer access-1"),
        "{reply:?}"
    );

    refuses_forgeries(gateway, &browser).await;

    // Programs are told, and not sent away.
    let reply = send(
        gateway,
        "GET http://a.test/page\nx-requested-with: XMLHttpRequest",
    )
    .await;
    assert_eq!(reply.unwrap().status, 401);

    let out = browser.get(gateway, "http://a.test/logout").await;
    assert_eq!(out.status, 302, "{out:?}");
    assert!(
        out.header("location").starts_with("https://id.test/end?"),
        "{out:?}"
    );
    let reply = browser.get(gateway, "http://a.test/page").await;
    assert_eq!(reply.status, 302, "{reply:?}");
    assert_eq!(home.count("one", "/page"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_comes_back_with_what_was_not_asked_for() {
    let provider = Provider::start(3600).await;
    provider.open();
    let Some(home) = home(42, &provider).await else {
        return;
    };
    let gateway = home.at(1, 8080);
    home.apply(&policy("SecurityPolicy", "people", DISCOVERED))
        .await;
    let mut browser = Browser::default();
    let sent = until(gateway, "GET http://a.test/page", |reply| {
        reply.status == 302
    })
    .await;
    browser.keep(&sent);
    let state = part(&sent, "state").to_owned();
    let back = |code: &str, state: &str| {
        format!("http://a.test/oauth2/callback?code={code}&state={state}")
    };
    // Another state, that of somebody else, no state, and a code that the provider does not know.
    let other = send(gateway, "GET http://a.test/page").await.unwrap();
    let stranger = Browser::default();
    for (browser, url) in [
        (&browser, back("good", "e30")),
        (&browser, back("good", part(&other, "state"))),
        (&stranger, back("good", &state)),
        (
            &browser,
            "http://a.test/oauth2/callback?code=good".to_owned(),
        ),
        (&browser, back("bad", &state)),
    ] {
        let reply = send(gateway, &browser.request(&url)).await.unwrap();
        assert_eq!(reply.status, 401, "{url}: {reply:?}");
        let kept = reply.headers.get_all("set-cookie").iter();
        let mut kept = kept.filter_map(|cookie| cookie.to_str().ok());
        assert!(
            !kept.any(|cookie| cookie.starts_with("AccessToken") && !cookie.contains("deleted"))
        );
    }
    assert_eq!(home.count("one", "/page"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_end_and_are_had_again() {
    let provider = Provider::start(1).await;
    let Some(home) = home(43, &provider).await else {
        return;
    };
    let gateway = home.at(1, 8080);
    // The endpoints are said; the provider is not asked for them.
    let spec = "
oidc:
  provider: {issuer: 'https://id.test', authorizationEndpoint: 'https://id.test/authorize', tokenEndpoint: 'https://id.test/token'}
  clientID: shop
  clientSecret: {name: client}
  refreshToken: false";
    home.apply(&policy("SecurityPolicy", "people", spec)).await;
    let browser = signed_in(gateway, "http://a.test/page").await;
    until(gateway, &browser.request("http://a.test/page"), |reply| {
        reply.status == 302
    })
    .await;
    let again = spec.replace("refreshToken: false", "refreshToken: true");
    home.apply(&policy("SecurityPolicy", "people", &again))
        .await;
    let mut browser = signed_in(gateway, "http://a.test/page").await;
    while !browser
        .0
        .keys()
        .any(|name| name.starts_with("RefreshToken"))
    {
        // The policy before holds for a moment.
        browser = signed_in(gateway, "http://a.test/page").await;
    }
    let count = || {
        let asked = provider.asked();
        let again = asked
            .iter()
            .filter(|body| body.contains("refresh_token=again"));
        again.count()
    };
    // Its end comes, and the page is served all the same.
    let before = count();
    until(gateway, &browser.request("http://a.test/page"), |reply| {
        assert!(reply.status == 200 || reply.status == 302, "{reply:?}");
        reply.status == 200 && count() > before
    })
    .await;
}
