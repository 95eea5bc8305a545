// Numbers, times and addresses as texts. Pure.

export const NONE = "–";

export function count(number) {
  if (number == null) return NONE;
  return Math.round(number).toLocaleString("en");
}

/** Something a second. */
export function rate(number) {
  if (number == null) return NONE;
  if (number === 0) return "0";
  return number < 9.95 ? number.toFixed(1) : count(number);
}

export function bytes(number) {
  if (number == null) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (number >= 1000 && unit < units.length - 1) {
    number /= 1024;
    unit += 1;
  }
  return `${unit > 0 && number < 9.95 ? number.toFixed(1) : Math.round(number)} ${units[unit]}/s`;
}

export function micros(us) {
  if (us == null) return NONE;
  if (us < 1_000) return `${us} µs`;
  if (us < 1_000_000) return `${digits(us / 1_000)} ms`;
  return us < 100_000_000 ? `${digits(us / 1_000_000)} s` : ago(us / 1_000_000);
}

export const digits = (number) => (number < 9.95 ? number.toFixed(1) : Math.round(number).toString());

export function ago(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

export const ageText = (seconds) => (seconds < 1.5 ? "now" : `${ago(seconds)} ago`);
export const age = (event, time) => Math.max(0, (event.now - Date.parse(time)) / 1_000);
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
export const place = ({ address, port }) => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`);
export const sum = (list, read) => list.reduce((total, item) => total + read(item), 0);
export const values = (map) => sum(Object.values(map), (number) => number);
export const words = (name) => name.replaceAll("_", " ");
