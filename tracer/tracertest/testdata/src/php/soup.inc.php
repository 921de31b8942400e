<?php
// SPDX-License-Identifier: Apache-2.0
return Pantry\soup_leaf(2 * $n);
