// What goes on while one looks is asked for again.

import { page } from "./net.js";

const live = (of) => of.querySelectorAll("[data-live]");

setInterval(async () => {
  if (document.hidden) return;
  const now = await page(location.href).then(live, () => []);
  live(document).forEach((old, n) => now[n] && old.replaceWith(now[n]));
}, 15_000);
