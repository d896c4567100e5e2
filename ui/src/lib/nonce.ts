// CodeMirror and xterm make `<style>` elements. The content policy lets such an element count only with the page's nonce,
// which the shell draws anew at each load and puts on the one in index.html. What scripts make gets the same; what comes
// in as markup does not.
const nonce = document.querySelector("style")?.nonce;

if (nonce) {
  const make = document.createElement.bind(document);
  document.createElement = (name: string, options?: ElementCreationOptions): HTMLElement => {
    const element = make(name, options);
    if (element instanceof HTMLStyleElement) element.nonce = nonce;
    return element;
  };
}
