%% Harder stacks than those of hive: swarm (body recursion, 900 deep), nectar (sorting with
%% a fun), pollen (a function in C), wax (many live terms in every frame of a recursion),
%% foragers (short-lived processes).
-module(apiary).
-export([main/1, round/1, burn/2, swarm/2, swarm_leaf/1, nectar/1, pollen/1, pollen_loop/2, wax/2, wax_leaf/1, forage/1, forage_leaf/1]).

burn(0, X) -> X;
burn(N, X) -> burn(N - 1, (X * 16807) rem 2147483647).

swarm(1, N) -> R = ?MODULE:swarm_leaf(N), R + 1;
swarm(D, N) -> R = ?MODULE:swarm(D - 1, N), R + D.
swarm_leaf(N) -> R = ?MODULE:burn(N, 1), R + 1.

nectar(N) ->
    L = lists:sort(fun(A, B) -> ?MODULE:burn(N, A) =< ?MODULE:burn(N, B) end, [I * 7919 rem 61 || I <- lists:seq(1, 60)]),
    length(L).

pollen(N) -> R = ?MODULE:pollen_loop(N, <<0:800000>>), R + 1.
pollen_loop(0, _) -> 0;
pollen_loop(N, B) -> erlang:md5(B), pollen_loop(N - 1, B).

wax(1, N) -> R = ?MODULE:wax_leaf(N), R + 1;
wax(D, N) ->
    A = {D, N}, B = [A, D], C = <<D:32, N:32>>, E = float(D), F = make_ref(), G = self(), H = #{D => A}, I = [B, C],
    J = "text", K = D * 3, L = {E, F}, M = [G | H], O = {I, J}, P = -D, Q = {K}, S = {L, M},
    R = ?MODULE:wax(D - 1, N),
    X = {A, B, C, E, F, G, H, I, J, K, L, M, O, P, Q, S},
    R + tuple_size(X).
wax_leaf(N) -> R = ?MODULE:burn(N, 3), R + 3.

forage(N) -> R = ?MODULE:forage_leaf(N), exit({done, R}).
forage_leaf(N) -> R = ?MODULE:burn(N, 4), R + 4.

round(U) ->
    A = ?MODULE:swarm(900, 4 * U),
    B = ?MODULE:nectar(U div 200),
    C = ?MODULE:pollen(1 + U div 12000),
    D = ?MODULE:wax(40, 2 * U),
    {_, M} = spawn_monitor(?MODULE, forage, [U]),
    receive {'DOWN', M, _, _, {done, E}} -> A + B + C + D + E end.

loop(End) ->
    case erlang:monotonic_time(millisecond) < End of
        true ->
            S = (get(seed) * 16807) rem 2147483647,
            put(seed, S),
            put(acc, ?MODULE:round(20000 + S rem 60000)),
            loop(End);
        false -> ok
    end.

main([Secs]) ->
    put(seed, 1), io:format("runs~n"),
    loop(erlang:monotonic_time(millisecond) + 1000 * list_to_integer(Secs)),
    halt(0).
