// Runs before the first paint (a classic script in <head>): the stored theme wins over the cookie that the server
// rendered from.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  let stored = null;
  try {
    stored = localStorage.getItem("theme");
  } catch {
    return; // storage is forbidden: the cookie's theme stands
  }
  if (stored === "light" || stored === "dark") root.dataset.theme = stored;
  else if (stored === "system") delete root.dataset.theme;
})();
