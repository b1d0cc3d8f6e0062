// The tracker. `make generated` minifies it to tracker.min.js, which the pixel serves at /a.js.
//
//   <script defer src="https://pixel.example.com/a.js"></script>
//
// docs/tag.md has the attributes of the tag, custom events, single-page apps, and how a reader opts out.
// It sends one GET a hit, in the shape of the pixel's other senders. It sets no cookie, stores nothing in the
// browser, reads there nothing but the reader's wish to be left out, and never throws into the page.
//
// Every byte goes to every reader: tests/services/pixel/test_pages.py holds the whole to 1,024 bytes of gzip. Hence
// `let` (shorter than const), map for its effects, and one listener for all events. Syntax is ES2019.
try {
    // What a page asks for before this script is here waits in `q`. Of two tags the second finds the first's function,
    // whose q is no list, and ends here, in the catch.
    let [...queue] = (self.footfall || 0).q || [];
    let {src, dataset: options} = document.currentScript;
    let url;
    let referrer = document.referrer;
    // The status that the server gave the page, where the browser tells it: a list of one number or none.
    let status = options.status || performance.getEntriesByType("navigation").map(entry => entry.responseStatus);
    let due = 1; // a pageview is owed: nobody has looked at this page for long enough yet
    let since; // when somebody began to look, in ms; undefined: nobody has yet; 0: nobody looks any more

    // async, and a catch around all of it: whatever a page has broken is not its error.
    let send = async (event, props) => {
        let address;
        try {
            try {
                if (localStorage.footfall) return; // a reader said on this site that they want to be left out
            } catch (e) {} // the browser forbids storage
            // Programs that say what they are; files; builds on this machine. The pixel has the last word on hosts, and
            // leaves out private networks too.
            if (navigator.webdriver ||
                /^(|(.+\.)?(localhost|local|test)|127[\d.]+)$/.test(location.hostname)) return;

            address = ((options.endpoint || new URL("ENDPOINT", src)) + "?" + new URLSearchParams({
                // A random UUID makes a retry the same hit. The browser makes one to name an (empty) blob, also on
                // pages without TLS, where crypto.randomUUID is missing.
                id: URL.createObjectURL(new Blob()).slice(-36),
                screen: screen.width + "x" + screen.height,
                event: event || " ", // without a name it is no pageview either
                url,
                ...status > 399 && {status},
                referrer,
                title: document.title,
                props: JSON.stringify(props) || ""
            })).slice(0, 8e3); // the pixel takes 8,000 bytes of query: what comes last gives way

            // keepalive: the request outlives the page. no-cors: nothing is read from the answer, so there is no
            // preflight, and no error in the console of a page that the pixel does not count.
            await fetch(address, {
                keepalive: true,
                mode: "no-cors",
                cache: "no-store",
                credentials: "owner" in options ? "include" : "omit"
            });
        } catch (e) {
            // connect-src refuses, or the page broke fetch: an image may still go. With crossOrigin it carries no
            // cookie to another origin either. Not at once: Chromium (156) also rejects when the page is left or
            // loaded anew, while the request goes on; then the timer never comes.
            if (address) setTimeout(() => {
                let image = new Image();
                if (!("owner" in options)) image.crossOrigin = "";
                image.src = address;
            });
        }
    };

    // A page counts when somebody has looked at it for 0.3 s, or leaves it earlier: frameworks change the address first
    // and the title later, and a script may stand before <title>. It does not count in a tab that was opened in the
    // background and is never looked at, nor while it is prerendered: that is hidden, and what is sent when it becomes
    // visible would still be marked as a prefetch, which the pixel leaves out; 0.3 s later it is not.
    let look = leaving => {
        leaving = leaving || document.hidden;
        if (since || !leaving) {
            if (!since) {
                since = performance.now();
                setTimeout(look, 310);
            }
            let looked = performance.now() - since;
            if (leaving || looked > 300) {
                if (due) send("pageview");
                due = 0;
                queue.map(asked => send(...asked));
                queue = [];
            }
            if (leaving) {
                since = 0;
                looked = looked / 1000 | 0;
                if ("engaged" in options && looked) send("engaged", {seconds: looked});
            }
        }
    };

    // Something happened.
    let notice = ({type, target, button}) => {
        try {
            // Without the fragment; where fragments are pages, "#/" is the page itself.
            let next = location.href.replace("hash" in options ? /#\/?$/ : /#.*/, "");
            if (next != url) {
                // Another address is another page; what is due for the one before goes now. One that nobody has looked
                // at was a step on the way: this one takes its place.
                look(1);
                if (!due) {
                    referrer = url;
                    status = 0;
                }
                url = next;
                due = 1;
            }
            look(type = type == "pagehide");
            due |= type; // back from the back/forward cache it is another page load
            if (button < 2) { // only clicks have one; 2 is the right button
                let marked = target.closest("[data-footfall-event]");
                if (marked) footfall(marked.dataset.footfallEvent);
                // Where no link was clicked this ends in the catch. mailto: and tel: have no host name.
                let {hostname, origin, pathname} = target.closest("a");
                let kind = hostname && ("downloads" in options && /\.(?!html)\w{2,4}$/.test(pathname) ? "download" :
                    "outbound" in options && hostname != location.hostname && "outbound");
                if (kind) footfall(kind, {url: origin + pathname});
            }
        } catch (e) {}
    };

    footfall = (...asked) => {
        if (due && since != 0) queue.push(asked); // after its pageview; while the page is left, at once
        else send(...asked);
    };
    footfall.q = 1;

    ["pushState", "replaceState"].map(name => {
        let original = history[name];
        history[name] = (...values) => {
            original.call(history, ...values);
            notice(0);
        };
    });
    ["auxclick", "click", "pagehide", "pageshow", "visibilitychange", "popstate"].map(name =>
        addEventListener(name, notice, true));
    notice(0);
} catch (e) {}
