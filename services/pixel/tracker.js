// The tracker. services/pixel/pages.py serves it at /a.js without comments and white space.
//
//   <script defer src="https://pixel.example.com/a.js"></script>
//
// It sends one GET a page load, in the shape of the pixel's other senders: url, referrer, title, screen,
// language, id. It sets no cookie, stores nothing in the browser, and never throws into the page.
//
//   data-endpoint="https://…/a"  another address than the script's own with a.js replaced by a
//   data-owner                   sends cookies too, so that the owner's own isMe cookie travels
//
// Rules for this file, so that pages.py can strip it: a comment has a line of its own, a statement ends with
// a semicolon and is never empty, strings stand in double quotes. Syntax is ES5. Every byte goes to every
// reader: tests/services/pixel/test_pages.py holds the whole to 1,024 bytes of gzip.
(function () {
    try {
        var script = document.currentScript;
        var owner = script.hasAttribute("data-owner");
        var endpoint = script.getAttribute("data-endpoint") || script.src.replace(/[^/]*(\?.*)?$/, "a");
        var due = 1;

        var send = function () {
            // A version 4 UUID makes a retry the same hit. randomUUID is there in secure contexts only.
            var address = endpoint + "?id=" + (crypto.randomUUID ? crypto.randomUUID() :
                "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx".replace(/x/g, function () {
                    return (crypto.getRandomValues(new Uint8Array(1))[0] & 15).toString(16);
                }));
            // What comes last gives way to the 8,000 bytes of query that the pixel takes.
            // encodeURIComponent throws at half a surrogate pair, which a title cut by a program ends with.
            [
                ["screen", screen.width + "x" + screen.height],
                ["language", navigator.language],
                ["url", location.href.split("#")[0]],
                ["referrer", document.referrer],
                ["title", document.title]
            ].forEach(function (parameter) {
                var value = ("" + (parameter[1] || "")).slice(0, 2048);
                for (; value; value = value.slice(0, -1)) {
                    try {
                        var longer = address + "&" + parameter[0] + "=" + encodeURIComponent(value);
                        if (longer.length < 8000) {
                            address = longer;
                            break;
                        }
                    } catch (e) {}
                }
            });
            // keepalive: the request outlives the page. no-cors: nothing is read from the answer, so there
            // is no preflight, and no error in the console of a page that the pixel does not count.
            Promise.resolve().then(function () {
                return fetch(address, {
                    keepalive: true,
                    cache: "no-store",
                    mode: "no-cors",
                    credentials: owner ? "include" : "omit"
                });
            }).catch(function () {
                // connect-src refuses, or the page broke fetch: an image may still go. With crossOrigin it
                // carries no cookie to another origin either. Not at once: Chromium (156) also rejects when
                // the page is left or loaded anew, while the request goes on; then the timer never comes.
                setTimeout(function () {
                    var image = new Image();
                    if (!owner) image.crossOrigin = "anonymous";
                    image.src = address;
                });
            });
        };

        // Counts when somebody sees the page: not while it is prerendered, not in a tab that was opened in
        // the background and is never looked at. A script that runs before <title> waits for the document.
        var count = function () {
            if (due && !document.prerendering && document.visibilityState != "hidden" &&
                (document.title || document.readyState != "loading")) {
                due = 0;
                try {
                    send();
                } catch (e) {}
            }
        };

        // Silent: programs that say so, other schemes than http (file:), hosts of local builds (the pixel
        // has the last word on these), and the second of two equal script tags.
        var name = "footfall " + endpoint;
        if (!navigator.webdriver && !window[name] && /^http/.test(location.protocol) &&
            !/(^|\.)(localhost|local|test)\.?$|^(0|10|127|169\.254|192\.168|172\.(1[6-9]|2\d|3[01]))(\.\d+)+$|^\[(::1?\]|f[cde])/.test(location.hostname)) {
            window[name] = 1;
            document.addEventListener("visibilitychange", count);
            document.addEventListener("prerenderingchange", count);
            document.addEventListener("DOMContentLoaded", count);
            // Back from the back/forward cache is another page load, with another id.
            addEventListener("pageshow", function (event) {
                if (event.persisted) {
                    due = 1;
                    count();
                }
            });
            count();
        }
    } catch (e) {}
})();
