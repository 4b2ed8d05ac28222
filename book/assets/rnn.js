// Solutions and hidden cells are printed open, and closed again afterwards.
let opened = [];
window.addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  opened.forEach((d) => (d.open = true));
});
window.addEventListener("afterprint", () => opened.forEach((d) => (d.open = false)));
