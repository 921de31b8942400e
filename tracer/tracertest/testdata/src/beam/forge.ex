# Functions of Enum between those of a module, and one without a name.
defmodule Forge do
  def burn(0, x), do: x
  def burn(n, x), do: burn(n - 1, rem(x * 16807, 2_147_483_647))

  def smelt(n), do: 1 + Enum.reduce(1..10, 0, fn i, acc -> acc + __MODULE__.burn(n, i) end)

  def run(until) do
    Enum.map([1, 2, 3], fn _ -> __MODULE__.smelt(100_000) + 1 end)
    if System.monotonic_time(:second) < until, do: run(until)
  end

  def main([secs]) do
    IO.puts("runs")
    run(System.monotonic_time(:second) + List.to_integer(secs))
    :erlang.halt(0)
  end
end
