%% A module that is replaced all the time, by functions of other names at other lines.
-module(season).
-export([main/1, turn/1]).

source(N) ->
    F = "petal_" ++ integer_to_list(N rem 7),
    lists:duplicate(N rem 5, $\n) ++
    "-module(bloom).\n-export([go/1]).\ngo(N) -> R = " ++ F ++ "(N), R + 1.\n" ++
    F ++ "(0) -> 0;\n" ++ F ++ "(N) -> X = erlang:phash2(N), Y = " ++ F ++ "(N - 1), (X + Y) rem 1000.\n".

forms([], Acc) -> lists:reverse(Acc);
forms(Tokens, Acc) ->
    {Form, [Dot | Rest]} = lists:splitwith(fun(T) -> element(1, T) =/= dot end, Tokens),
    {ok, F} = erl_parse:parse_form(Form ++ [Dot]),
    forms(Rest, [F | Acc]).

compiled(N) ->
    {ok, Tokens, _} = erl_scan:string(source(N)),
    {ok, bloom, Binary} = compile:forms([{attribute, 1, file, {"bloom.erl", 1}} | forms(Tokens, [])]),
    Binary.

turn(Binary) ->
    code:purge(bloom),
    {module, bloom} = code:load_binary(bloom, "bloom.erl", Binary),
    R = bloom_for(2000, 0),
    code:purge(bloom),
    R.

bloom_for(0, Sum) -> Sum;
bloom_for(N, Sum) -> bloom_for(N - 1, Sum + bloom:go(500)).

loop(End, [B | Rest]) ->
    case erlang:monotonic_time(millisecond) < End of
        true -> ?MODULE:turn(B), loop(End, Rest ++ [B]);
        false -> ok
    end.

main([Secs]) ->
    Binaries = [compiled(N) || N <- lists:seq(1, 35)],
    io:format("runs~n"),
    R = loop(erlang:monotonic_time(millisecond) + 1000 * list_to_integer(Secs), Binaries),
    R = ok,
    halt(0).
