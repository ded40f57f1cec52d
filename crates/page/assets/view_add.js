// Add: to be written.
(() => {
  carry.view({
    id: "add",
    title: "Add",
    applies: ({ task }) => task === "addition",
    mount() {},
  });
})();
