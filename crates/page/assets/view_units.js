// Which unit holds the carry?: to be written.
(() => {
  carry.view({
    id: "units",
    title: "Which unit holds the carry?",
    applies: ({ task }) => task === "addition",
    mount() {},
  });
})();
