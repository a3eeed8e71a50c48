//! The text that both sides of SPDY/3 take as read before the first header.

use std::sync::LazyLock;

/// Words of the protocol's authors, each of which has its length in front.
const WORDS: &str = "\
    options,head,post,put,delete,trace,accept,accept-charset,accept-encoding,accept-language\
    ,accept-ranges,age,allow,authorization,cache-control,connection,content-base,content-enc\
    oding,content-language,content-length,content-location,content-md5,content-range,content\
    -type,date,etag,expect,expires,from,host,if-match,if-modified-since,if-none-match,if-ran\
    ge,if-unmodified-since,last-modified,location,max-forwards,pragma,proxy-authenticate,pro\
    xy-authorization,range,referer,retry-after,server,te,trailer,transfer-encoding,upgrade,u\
    ser-agent,vary,via,warning,www-authenticate,method,get,status,200 OK,version,HTTP/1.1,ur\
    l,public,set-cookie,keep-alive,origin";

/// What follows the words.
const TEXT: &str = "\
    1001012012022052063003023033043053063074024054064074084094104114124134144154164175025045\
    05203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request40\
    1 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 \
    Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, W\
    ed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/x\
    ml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sd\
    chcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/// The whole dictionary.
pub(super) static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let words = WORDS.split(',').flat_map(|word| {
        // No word is longer than a byte can tell.
        let length = u8::try_from(word.len()).unwrap_or_default();
        [0, 0, 0, length].into_iter().chain(word.bytes())
    });
    words.chain(TEXT.bytes()).collect()
});
