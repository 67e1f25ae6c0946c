// A web worker in a hidden frame. Browsers refuse workers to pages that are opened as files, and the search of the
// documentation runs in one; pages from a web server keep the browser's own workers.

function postToParent(data) {
  parent.postMessage(data, "*");
}

function loadScripts(...urls) {
  const load = (url) =>
    new Promise((resolve) => {
      const script = document.createElement("script");
      script.src = url;
      script.onload = resolve;
      document.body.appendChild(script);
    });
  return urls.reduce((before, url) => before.then(() => load(url)), Promise.resolve());
}

class IFrameWorker extends EventTarget {
  constructor(url) {
    super();
    this.frame = document.createElement("iframe");
    this.frame.hidden = true;
    document.body.appendChild(this.frame);
    const page = this.frame.contentWindow;
    page.document.open();
    page.document.write(
      `<html><body><script>postMessage = ${postToParent}; importScripts = ${loadScripts};<\/script>` +
        `<script src="${url}"><\/script></body></html>`,
    );
    page.document.close();
    this.ready = new Promise((resolve) => page.addEventListener("load", resolve));
    this.receive = (event) => {
      if (event.source !== page) return;
      this.dispatchEvent(new MessageEvent("message", { data: event.data }));
      if (this.onmessage) this.onmessage(event);
    };
    addEventListener("message", this.receive);
  }

  postMessage(data) {
    const copy = structuredClone(data);
    this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data: copy })));
  }

  terminate() {
    removeEventListener("message", this.receive);
    this.frame.remove();
  }
}

if (location.protocol === "file:") {
  window.IFrameWorker = IFrameWorker; // the search's worker looks for this name
  window.Worker = IFrameWorker;
}
