// Learn: to be written.
(() => {
  carry.view({
    id: "learn",
    title: "Learn",
    applies: ({ task }) => task === "addition",
    mount() {},
  });
})();
