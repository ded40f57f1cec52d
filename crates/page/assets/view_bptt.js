// Backpropagation through time: to be written.
(() => {
  carry.view({
    id: "bptt",
    title: "Backpropagation through time",
    applies: ({ task }) => task === "addition",
    mount() {},
  });
})();
