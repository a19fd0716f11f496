// ReDoc draws its maker's logo from another host, which this site's policy refuses with an error in the console: an
// image from elsewhere is not asked for at all. ReDoc has no option for it, and sets the address in both ways.
const image = HTMLImageElement.prototype;
const { setAttribute } = image;
const source = Object.getOwnPropertyDescriptor(image, "src");

function isElsewhere(address) {
  const { origin } = new URL(address, location.href);
  return origin !== location.origin && origin !== "null"; // "null": a data address
}

image.setAttribute = function (name, value) {
  if (name !== "src" || !isElsewhere(value)) setAttribute.call(this, name, value);
};
Object.defineProperty(image, "src", {
  ...source,
  set(address) {
    if (!isElsewhere(address)) source.set.call(this, address);
  },
});
